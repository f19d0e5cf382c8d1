// One hostile calibration file: read as it is, then with its size and SHA-256 made right; what is taken must
// keep every promise and write back to the same bytes.
#pragma once

#include <openssl/evp.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "codec/calibrated/calibration.h"
#include "codec/element.h"
#include "contract/check.h"

namespace shadowserve {

/// As a broken writer or an adversary would: mutations reach what lies behind the SHA-256.
inline void seal_calibration(std::vector<std::byte>& file) {
  constexpr size_t kHashBytes = 32, kFileBytesOffset = 12;
  if (file.size() < kFileBytesOffset + 4 + kHashBytes) return;
  const auto size = static_cast<uint32_t>(file.size());
  std::memcpy(file.data() + kFileBytesOffset, &size, sizeof size);
  auto* const hash = reinterpret_cast<unsigned char*>(file.data() + file.size() - kHashBytes);
  SS_CHECK(EVP_Digest(file.data(), file.size() - kHashBytes, hash, nullptr, EVP_sha256(), nullptr) == 1,
           "libcrypto has SHA-256");
}

/// The file of a calibration. The format says everything in one way only: this must be what was read.
inline std::vector<std::byte> write_calibration(const Calibration& from) {
  std::vector<std::byte> file;
  const auto add = [&file](const auto* values, size_t count) {
    const auto* const first = reinterpret_cast<const std::byte*>(values);
    file.insert(file.end(), first, first + count * sizeof *values);
  };
  const auto add_number = [&add](auto number) { add(&number, 1); };
  const auto add_all = [&add](const auto& values) { add(values.data(), values.size()); };
  add("SSKVCAL\n", 8);
  for (const uint32_t number : {1u, 0u, from.layers, from.kv_heads, from.head_dim}) add_number(number);
  for (const size_t number :
       {size_t(from.element), from.points.size(), from.rotations.size(), size_t{kCalibrationClassesMax}}) {
    add_number(static_cast<uint8_t>(number));
  }
  add_number(static_cast<uint16_t>(from.tables.size()));
  add_number(static_cast<uint16_t>(from.tokens_a_sink));
  add_all(from.fingerprint);
  for (const CalibrationPoint& point : from.points) {
    std::string name = point.name;
    name.resize(16, '\0');
    add_all(name);
    add_number(point.scalar);
    add_number(point.expected_kl);
  }
  for (const KeyRotation& rotation : from.rotations) {
    add_number(static_cast<uint16_t>(rotation.pairing));
    add_number(static_cast<uint16_t>(rotation.rotary_dim));
    add_all(rotation.frequencies);
  }
  add_all(from.layer_rotation);
  for (const RansTable& table : from.tables) {
    add_number(table.base);
    add_number(table.count);
    add_number(uint16_t{0});
    add_all(table.frequency);
  }
  add_all(from.class_tables);
  add_all(from.classes);
  add_all(from.base_steps);
  add_all(from.means);
  add_all(from.sink_keys);
  add_all(from.hash);
  seal_calibration(file);
  return file;
}

/// What a codec relies on without looking again.
inline void check_promises(const Calibration& read) {
  const size_t planes = size_t{read.layers} * 2, channels = read.channels(), points = read.points.size();
  for (const uint8_t number : read.layer_rotation) {
    SS_CHECK(number == kNoRotation || number < read.rotations.size(), "a layer's rotation is there");
  }
  for (const KeyRotation& rotation : read.rotations) {
    SS_CHECK(rotation.rotary_dim <= read.head_dim && rotation.frequencies.size() * 2 == rotation.rotary_dim,
             "a rotation turns dims of a head");
    for (const float frequency : rotation.frequencies) SS_CHECK(std::abs(frequency) < 3.15f, "a frequency");
  }
  for (const RansTable& table : read.tables) SS_CHECK(table.valid() && table.escape, "kernels need it valid");
  for (size_t i = 0; i < planes * channels; ++i) {
    SS_CHECK(std::abs(element::from_bf16(read.means[i])) < 0x1p119f, "a mean");
    for (size_t point = 0; point < points; ++point) {
      const size_t row = i / channels * points + point;
      SS_CHECK(read.class_tables.at(row * kCalibrationClassesMax + read.classes[i]) < read.tables.size(),
               "a channel has a table");
      const float step = read.points[point].scalar * element::from_bf16(read.base_steps[i]);
      const float rounded = element::from_bf16(element::to_bf16(step));
      SS_CHECK(rounded > 0 && rounded < 0x1p119f, "a step");
    }
  }
  SS_CHECK(find_point(read, read.points.back().name) == points - 1, "no two points have one name");
}

/// True when the file was taken once its size and SHA-256 were right. Aborts when what was taken breaks a
/// promise. Buffers are exactly as large as they must be: a sanitizer sees the byte beyond.
inline bool read_calibration_mutant(std::span<const std::byte> input) {
  std::vector<std::byte> file(input.begin(), input.end());
  std::string message;
  if (!read_calibration(file, message)) SS_CHECK(!message.empty(), "a refusal has a reason");
  seal_calibration(file);
  const auto read = read_calibration(file, message);
  if (!read) return false;
  check_promises(*read);
  SS_CHECK(write_calibration(*read) == file, "what was read is what was written");
  return true;
}

}  // namespace shadowserve
