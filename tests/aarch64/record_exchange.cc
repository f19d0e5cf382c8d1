// Writes and reads records of every profile, so that builds for two processors can be held against each
// other: `record_exchange encode OUT`, `record_exchange decode RECORDS OUT`, `record_exchange angles FILE`.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "codec/calibrated/key_turns.h"
#include "codec/calibrated/sample_calibration.h"
#include "codec/codec.h"
#include "codec/kv_sample.h"

namespace shadowserve {
namespace {

namespace fs = std::filesystem;

constexpr const char* kProfiles[] = {
    "raw",      "raw+zstd",         "raw+deflate",   "int8",    "int8+none", "int8+deflate", "kv4",
    "kv4+none", "kv4+zstd",         "kv4+deflate",   "generic", "near",      "balanced",     "far",
    "cachegen", "cachegen+deflate", "cachegen+zstd",
};
struct Shape {
  const char* name;
  KvGeometry geometry;
};
// Whole vectors everywhere, and rows that are whole vectors of nothing.
constexpr Shape kShapes[] = {
    {"even-bf16", {2, 4, 64, 128, ElementType::kBf16}},
    {"even-fp16", {2, 4, 64, 128, ElementType::kFp16}},
    {"odd-fp16", {2, 3, 22, 100, ElementType::kFp16}},
};
constexpr uint32_t kPositions[] = {0, 25'600};

struct Trial {
  std::string name, profile_name;
  KvGeometry geometry;
  uint32_t first_position = 0;
  SealKind seal_kind = SealKind::kXxh3;

  PartShape shape() const {
    PartShape part = part_shape(geometry, 0);
    part.first_position = first_position;
    return part;
  }
  ChunkKey key() const { return ChunkKey{std::byte{7}}; }
  ChunkKey seal() const { return seal_kind == SealKind::kGmac ? ChunkKey{std::byte{9}} : ChunkKey{}; }
  std::vector<std::byte> values() const { return kv_sample(shape(), 31); }
};

/// The profile and the model it points to, which is made of the trial's own values.
struct TrialProfile {
  Profile profile;
  std::shared_ptr<const CalibratedModel> model;
  explicit TrialProfile(const Trial& trial) : profile(*profile_from_name(trial.profile_name)) {
    if (!profile.calibrated()) return;
    model = sample_model(trial.geometry, trial.profile_name, trial.values());
    profile.model = model.get();
  }
};

std::vector<Trial> all_trials() {
  std::vector<Trial> trials;
  for (const char* profile : kProfiles) {
    for (const Shape& shape : kShapes) {
      for (const uint32_t position : kPositions) {
        trials.push_back({std::string(profile) + "-" + shape.name + "-" + std::to_string(position), profile,
                          shape.geometry, position});
      }
    }
  }
  // Has a nonce: read by the other side, never the same twice.
  trials.push_back({"gmac-kv4", "kv4", kShapes[0].geometry, 0, SealKind::kGmac});
  return trials;
}

void write_file(const fs::path& path, std::span<const std::byte> bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

std::vector<std::byte> read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> chars{std::istreambuf_iterator<char>(in), {}};
  const auto bytes = std::as_bytes(std::span(chars));
  return {bytes.begin(), bytes.end()};
}

int encode(const fs::path& out) {
  std::vector<std::byte> record(kRecordBytesMax);
  for (const Trial& trial : all_trials()) {
    const TrialProfile uses(trial);
    const auto size = encode_part(uses.profile, trial.shape(), trial.key(), trial.seal_kind, trial.seal(),
                                  trial.values(), record);
    if (!size) {
      std::printf("%s cannot be encoded: %s\n", trial.name.c_str(), error_name(size.error()).data());
      return 1;
    }
    write_file(out / (trial.name + ".rec"), std::span(record).first(*size));
  }
  return 0;
}

/// Every record there is; 1 when one of them was refused, which is named.
int decode(const fs::path& records, const fs::path& out) {
  int refused = 0;
  for (const Trial& trial : all_trials()) {
    if (!fs::exists(records / (trial.name + ".rec"))) continue;
    const TrialProfile uses(trial);
    std::vector<std::byte> values(trial.shape().value_bytes());
    const auto done = decode_part(read_file(records / (trial.name + ".rec")), trial.shape(), trial.key(),
                                  trial.seal(), values, uses.model.get());
    if (done) {
      write_file(out / (trial.name + ".values"), values);
    } else {
      std::printf("%s refused: %s\n", trial.name.c_str(), error_name(done.error()).data());
      refused = 1;
    }
  }
  return refused;
}

/// Cosines and sines that rotations begin with, of positions up to 128 Ki.
int angles(const fs::path& file) {
  constexpr uint32_t kTokens = 256, kChunks = 512;
  const KeyTurns turns(sample_rotation(128, RotationPairing::kHalves), kTokens);
  std::vector<float> all;
  for (uint32_t chunk = 0; chunk < kChunks; ++chunk) {
    Turn turn;
    turns.at_chunk(chunk * kTokens, turn);
    all.insert(all.end(), turn.cos.begin(), turn.cos.begin() + turns.pairs());
    all.insert(all.end(), turn.sin.begin(), turn.sin.begin() + turns.pairs());
  }
  for (uint32_t token = 0; token < kTokens; ++token) {
    all.insert(all.end(), turns.token_cos(token), turns.token_cos(token) + turns.pairs());
    all.insert(all.end(), turns.token_sin(token), turns.token_sin(token) + turns.pairs());
  }
  write_file(file, std::as_bytes(std::span(all)));
  return 0;
}

}  // namespace
}  // namespace shadowserve

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "encode" && argc == 3) return shadowserve::encode(argv[2]);
  if (what == "decode" && argc == 4) return shadowserve::decode(argv[2], argv[3]);
  if (what == "angles" && argc == 3) return shadowserve::angles(argv[2]);
  std::fprintf(stderr, "usage: record_exchange encode OUT | decode RECORDS OUT | angles FILE\n");
  return 2;
}
