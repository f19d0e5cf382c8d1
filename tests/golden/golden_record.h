// The golden records: what each one holds, so that the generator and the tests make the same.
#pragma once

#include <string>
#include <vector>

#include "chunk/record.h"
#include "codec/codec.h"
#include "codec/kv_sample.h"

namespace shadowserve {

struct GoldenRecord {
  const char* file;  ///< <file>.rec and, where it is not the input itself, the decoded <file>.values
  const char* profile;
  KvGeometry geometry;
  SealKind seal_kind = SealKind::kXxh3;
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

inline std::vector<std::byte> golden_input(const GoldenRecord& golden) {
  return kv_sample(part_shape(golden.geometry, 0), 2024);
}

inline std::vector<std::byte> encode_golden(const GoldenRecord& golden) {
  std::vector<std::byte> record(kRecordBytesMax);
  const auto size =
      encode_part(*profile_from_name(golden.profile), part_shape(golden.geometry, 0), golden_key(golden),
                  golden.seal_kind, seal_key(golden_space(golden)), golden_input(golden), record);
  record.resize(size.value());
  return record;
}

/// True where the same input must give the same file for ever: no library's compressor and no nonce in it.
inline bool is_reproducible(const GoldenRecord& golden) {
  const Profile profile = *profile_from_name(golden.profile);
  return golden.seal_kind == SealKind::kXxh3 && profile.recipe(golden.geometry, 0).coder == CoderId::kNone;
}

}  // namespace shadowserve
