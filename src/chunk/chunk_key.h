// Chunk identity: a SHA-256 chain over length-framed fields, the same in every process and language. Any
// thread; about 1 us a key of 256 tokens; libcrypto allocates a little each time, so this is not for
// data-plane threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "chunk/kv_geometry.h"
#include "contract/result.h"

namespace shadowserve {

using ChunkKey = std::array<std::byte, 32>;

/// Everything besides the tokens that decides what bytes a chunk holds. Two engines share records exactly
/// when all of it is equal.
struct KeySpace {
  std::string model_fingerprint;  ///< of the weights and everything that changes their KV (see control/)
  std::string profile;            ///< codec profile by name, with its calibration where it has one
  std::string tenant_salt;        ///< secret or empty; separates tenants and keys the seal
  uint32_t shard = 0;             ///< of tensor-parallel ranks; 0 for the chains of requests, see shard_key()
  uint32_t shard_count = 1;       ///< engines that split the model otherwise share nothing
  KvGeometry geometry;
};

/// The parent of the first chunk: SHA-256 over every field of the key space (docs/formats/chunk-key.md).
ChunkKey root_key(const KeySpace& space);

/// Key of the chunk that follows `parent`. `tokens` has chunk_tokens ids; `extra` binds whatever else decides
/// these tokens' KV (multimodal hashes, LoRA name, per-request cache salt), empty for plain text.
ChunkKey next_chunk_key(const ChunkKey& parent, std::span<const uint32_t> tokens,
                        std::span<const std::byte> extra = {});

/// What a chunk's records are stored under in shard `shard` of a model that is split into several. A
/// request's chain is one and the same for all shards (that of a space whose shard is 0), so that whoever
/// asks for a chunk derives it once. With a single shard this is not used: there the chunk's key names its
/// records.
ChunkKey shard_key(const ChunkKey& chunk, uint32_t shard);

/// Key of the seal (chunk/record.h) of this key space. Derived from the tenant salt: without the salt nobody
/// can forge a record; with an empty salt the seal only detects damage. The top bit of the last byte tells
/// which of the two it is, so that a key with a salt never accepts a seal anybody can make (see record.h).
ChunkKey seal_key(const KeySpace& space);

/// 64 lower-case hexadecimal digits.
std::string to_hex(const ChunkKey& key);
/// kConfig unless `hex` is 64 hexadecimal digits.
Result<ChunkKey> key_from_hex(std::string_view hex);

/// What a record is stored under: "ss1:<64 hex digits>:<part>". Fixed capacity, no allocation.
class StoreKey {
 public:
  StoreKey() = default;
  StoreKey(const ChunkKey& key, uint32_t part);
  std::string_view view() const { return {text_.data(), size_}; }
  /// The first eight bytes of the chunk's key, the first one in the highest bits: the same for all parts of a
  /// chunk.
  uint64_t chunk_word() const { return chunk_word_; }

 private:
  std::array<char, 88> text_{};
  size_t size_ = 0;
  uint64_t chunk_word_ = 0;
};

}  // namespace shadowserve
