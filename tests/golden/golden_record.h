// The golden records: what each one holds, so that the generator and the tests make the same.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "chunk/record.h"
#include "codec/calibrated/calibrated_kernel.h"
#include "codec/codec.h"
#include "codec/kv_sample.h"
#include "contract/check.h"

namespace shadowserve {

struct GoldenRecord {
  const char* file;  ///< <file>.rec and, where it is not the input itself, the decoded <file>.values
  const char* profile;
  KvGeometry geometry;
  SealKind seal_kind = SealKind::kXxh3;
  uint32_t first_position = 0;  ///< of calibrated profiles, whose calibration is tiny.cal
};

inline constexpr KvGeometry kGoldenTiny{1, 1, 4, 4, ElementType::kBf16};
inline constexpr KvGeometry kGoldenBf16{1, 2, 16, 40, ElementType::kBf16};
inline constexpr KvGeometry kGoldenFp16{1, 2, 16, 40, ElementType::kFp16};
inline constexpr KvGeometry kGoldenWide{1, 2, 64, 64, ElementType::kBf16};  // enough symbols for rANS
inline constexpr KvGeometry kGoldenWideFp16{1, 2, 64, 66, ElementType::kFp16};
inline constexpr KvGeometry kGoldenGroups{1, 1, 16, 136,
                                          ElementType::kFp16};  // a group of 128 tokens and one of 8
inline constexpr KvGeometry kGoldenDeep{11, 1, 16, 16,
                                        ElementType::kBf16};  // reaches cachegen's coarse layers

inline constexpr KvGeometry kGoldenCalibrated{2, 2, 16, 64, ElementType::kBf16};  // that of tiny.cal

inline constexpr KvGeometry kGoldenLatent{3, 1, 40, 32, ElementType::kBf16, 1};
inline constexpr KvGeometry kGoldenE4M3{1, 2, 16, 40, ElementType::kFp8E4M3};
inline constexpr KvGeometry kGoldenE5M2Latent{2, 1, 36, 32, ElementType::kFp8E5M2, 1};

inline constexpr GoldenRecord kGoldenRecords[] = {
    {"tiny-kv4-none", "kv4+none", kGoldenTiny},
    {"raw-bf16", "raw", kGoldenBf16},
    {"raw-deflate-fp16", "raw+deflate", kGoldenFp16},
    {"raw-zstd-bf16", "raw+zstd", kGoldenBf16},
    {"int8-none-bf16", "int8+none", kGoldenBf16},
    {"int8-zstd-fp16", "int8", kGoldenFp16},
    {"int8-deflate-bf16", "int8+deflate", kGoldenBf16},
    {"kv4-zstd-bf16", "kv4", kGoldenBf16},
    {"kv4-rans-bf16", "kv4", kGoldenWide},
    {"cachegen-rans-fp16", "cachegen", kGoldenWideFp16},
    {"kv4-deflate-fp16", "kv4+deflate", kGoldenGroups},
    {"kv4-none-fp16", "kv4+none", kGoldenGroups},
    {"cachegen-zstd-bf16", "cachegen", kGoldenDeep},
    {"cachegen-deflate-bf16", "cachegen+deflate", kGoldenDeep},
    {"kv4-none-gmac-bf16", "kv4+none", kGoldenBf16, SealKind::kGmac},
    {"generic-rans-fp16", "generic", kGoldenWideFp16},
    {"balanced-first-bf16", "balanced", kGoldenCalibrated},
    {"far-later-bf16", "far", kGoldenCalibrated, SealKind::kXxh3, 4096},
    {"raw-deflate-latent", "raw+deflate", kGoldenLatent},
    {"kv4-none-latent", "kv4+none", kGoldenLatent},
    {"raw-e4m3", "raw", kGoldenE4M3},
    {"raw-zstd-e4m3", "raw+zstd", kGoldenE4M3},
    {"raw-deflate-e5m2-latent", "raw+deflate", kGoldenE5M2Latent},
};

inline KeySpace golden_space(const GoldenRecord& golden) {
  KeySpace space;
  space.model_fingerprint = "golden";
  space.profile = golden.profile;
  space.tenant_salt = golden.seal_kind == SealKind::kGmac ? "golden salt" : "";
  space.geometry = golden.geometry;
  return space;
}

/// The key of the chunk of tokens 0, 1, 2, ...
inline ChunkKey golden_key(const GoldenRecord& golden) {
  std::vector<uint32_t> tokens(golden.geometry.chunk_tokens);
  for (uint32_t i = 0; i < tokens.size(); ++i) tokens[i] = i;
  return next_chunk_key(root_key(golden_space(golden)), tokens);
}

inline std::vector<std::byte> read_golden_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  SS_CHECK(in.good(), "a golden file is there");
  const std::vector<char> chars{std::istreambuf_iterator<char>(in), {}};
  const auto bytes = std::as_bytes(std::span(chars));
  return {bytes.begin(), bytes.end()};
}

inline PartShape golden_shape(const GoldenRecord& golden) {
  PartShape shape = part_shape(golden.geometry, 0);
  shape.first_position = golden.first_position;
  return shape;
}

/// The profile, and what it points to. `directory` is that of the golden files.
struct GoldenProfile {
  Profile profile;
  std::shared_ptr<const CalibratedModel> model;  ///< nullptr: not a calibrated one

  GoldenProfile(const GoldenRecord& golden, const std::filesystem::path& directory)
      : profile(*profile_from_name(golden.profile)) {
    if (!profile.calibrated()) return;
    std::string message;
    const auto calibration = read_calibration(read_golden_file(directory / "tiny.cal"), message);
    SS_CHECK(calibration.has_value(), "the golden calibration can be read");
    model = *CalibratedModel::make(*calibration, golden.profile, golden.geometry, message);
    profile.model = model.get();
  }
};

/// Values a few steps around what the calibration expects, and some that are far out.
inline std::vector<std::byte> calibrated_input(const GoldenRecord& golden, const CalibratedModel& model) {
  const PartShape shape = golden_shape(golden);
  std::vector<std::byte> values(shape.value_bytes());
  std::vector<uint8_t> symbols(golden.geometry.plane_values() + kRegionSlack);
  std::mt19937 random(2024);
  ChunkTurns angles;
  for (uint32_t i = 0; i < golden.geometry.planes(); ++i) {
    for (uint8_t& symbol : symbols) symbol = static_cast<uint8_t>(126 + random() % 3 + random() % 3);
    const CalibratedPlane& plane = model.plane(i);
    const uint32_t tokens = golden.geometry.chunk_tokens;
    const TurnRows turns =
        plane.turns ? angles.at(*plane.turns, golden.first_position, 0, tokens) : TurnRows{};
    auto* const to = reinterpret_cast<uint8_t*>(values.data() + i * golden.geometry.plane_bytes());
    dequantize_calibrated_oracle(plane, tokens, turns, symbols.data(), to);
    const uint16_t wide = element::from_float(-3000.0f, golden.geometry.element);
    std::memcpy(to + 2 * (random() % golden.geometry.plane_values()), &wide, sizeof wide);
  }
  return values;
}

inline std::vector<std::byte> golden_input(const GoldenRecord& golden, const Profile& profile) {
  if (profile.calibrated()) return calibrated_input(golden, *profile.model);
  return kv_sample(golden_shape(golden), 2024);
}

inline std::vector<std::byte> encode_golden(const GoldenRecord& golden, const Profile& profile) {
  std::vector<std::byte> record(kRecordBytesMax);
  const auto size = encode_part(profile, golden_shape(golden), golden_key(golden), golden.seal_kind,
                                seal_key(golden_space(golden)), golden_input(golden, profile), record);
  record.resize(size.value());
  return record;
}

/// True where the same input must give the same file for ever: no library's compressor and no nonce in it.
inline bool is_reproducible(const GoldenRecord& golden, const Profile& profile) {
  if (profile.calibrated()) return true;  // tables are the calibration's, the coder is ours
  return golden.seal_kind == SealKind::kXxh3 && profile.recipe(golden.geometry, 0).coder == CoderId::kNone;
}

}  // namespace shadowserve
