// The golden calibration file in a test's hands: where its fields are, how to change one, what is then said.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "codec/calibrated/calibration.h"

namespace shadowserve::golden_calibration {

using Bytes = std::vector<std::byte>;

// Where tests/golden/write_calibration.py put things: 2 layers, 2 heads of 16, 3 points, 2 rotations,
// 4 tables.
inline constexpr size_t kHashBytes = 32;
inline constexpr size_t kPointAt = 68, kPointBytes = 24;
inline constexpr size_t kPartialAt = 140, kPairsAt = 160;  // the rotations
inline constexpr size_t kLayerRotationAt = 196;
inline constexpr size_t kTableAt = 198, kTableBytes = 36;
inline constexpr size_t kClassTablesAt = 342, kClassesAt = 534, kBaseStepsAt = 662, kMeansAt = 918;
inline constexpr size_t kSinkKeysAt = 1174, kFileBytes = 1270;

inline Bytes golden() {
  // Rooms' tests know no folder of tests/ but through where they are themselves.
  const auto checkout = std::filesystem::path(__FILE__).parent_path() / "../../..";
  std::ifstream in(checkout / "tests/golden/tiny.cal", std::ios::binary);
  const std::vector<char> chars{std::istreambuf_iterator<char>(in), {}};
  const auto bytes = std::as_bytes(std::span(chars));
  return {bytes.begin(), bytes.end()};
}

/// As an adversary or a broken writer would: size and hash fit.
inline Bytes sealed(Bytes file) {
  const auto size = static_cast<uint32_t>(file.size());
  std::memcpy(file.data() + 12, &size, sizeof size);
  auto* const hash = reinterpret_cast<unsigned char*>(file.data() + file.size() - kHashBytes);
  EXPECT_EQ(EVP_Digest(file.data(), file.size() - kHashBytes, hash, nullptr, EVP_sha256(), nullptr), 1);
  return file;
}

template <typename T>
std::string raw(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
inline std::string u8(uint8_t value) { return raw(value); }
inline std::string u16(uint16_t value) { return raw(value); }
inline std::string u32(uint32_t value) { return raw(value); }
inline std::string f32(float value) { return raw(value); }
inline std::string name16(std::string name) {
  name.resize(16, '\0');
  return name;
}

inline void put(Bytes& file, size_t at, const std::string& what) {
  ASSERT_LE(at + what.size(), file.size());
  std::memcpy(file.data() + at, what.data(), what.size());
}

/// What is said of the file; empty: it was taken.
inline std::string refusal(const Bytes& file) {
  std::string message;
  const auto read = read_calibration(file, message);
  EXPECT_TRUE(read || (read.error() == Error::kConfig && !message.empty()));
  return read ? std::string() : message;
}

/// The golden file with other bytes in one place, and a hash that fits them.
inline std::string refusal_with(size_t at, const std::string& bytes) {
  Bytes file = golden();
  put(file, at, bytes);
  return refusal(sealed(file));
}

}  // namespace shadowserve::golden_calibration
