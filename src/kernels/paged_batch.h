// The parts that one launch moves: each checked when it comes, and the tables that the kernels read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "contract/result.h"
#include "kernels/paged_move.h"

namespace shadowserve {

/// An engine's pages and how its chunks lie in them.
struct PagedMemory {
  int device = 0;
  PagedLayout layout;
  std::vector<std::byte*> layer_base;  ///< device addresses
  uint32_t chunk_tokens = 0;           ///< a multiple of layout.block_tokens

  uint32_t chunk_blocks() const { return chunk_tokens / layout.block_tokens; }
};

/// kConfig for a layout that the kernels cannot take, layers without memory, and chunks that are not whole
/// blocks. Says nothing about the device.
Result<void> check_paged_memory(const PagedMemory& memory);

enum class PagedDirection : uint8_t { kScatter, kGather };

/// One part of one chunk.
struct PagedPart {
  uint64_t ticket = 0;  ///< the caller's, handed back in the completion
  PagedDirection direction = PagedDirection::kScatter;
  uint64_t staging_offset = 0;
  uint32_t plane_first = 0;
  uint32_t plane_count = 0;
  std::span<const int32_t>
      block_ids;             ///< all of the chunk's blocks; those before token_first may be anything
  uint32_t token_first = 0;  ///< counted in the chunk; scattering only
};

/// Tables of up to kPartsMax parts in memory of the caller, which is pinned where the tables go to a GPU.
///
/// A launch has one range of tokens. So a batch either has whole chunks, any number of them one behind the
/// other in the block table, or one chunk's parts from the same token_first on. All lie in the same staging.
/// One thread; nothing is allocated.
class PagedBatch {
 public:
  static constexpr uint32_t kPartsMax = 64;

  /// Bytes of tables, a multiple of 16.
  static size_t tables_bytes(const PagedMemory& memory);
  /// `memory` passed check_paged_memory() and outlives the batch, as do `tables` (tables_bytes() at an
  /// address aligned for StagedPart).
  PagedBatch(const PagedMemory& memory, std::span<std::byte> tables);

  enum class Added : uint8_t {
    kYes,
    kRefused,    ///< wrong in any batch: a block or plane that does not exist, bytes outside staging, ...
    kElsewhere,  ///< right, but not in one launch with what is here: start this batch and take another one
  };
  /// An empty batch never says kElsewhere. The block ids are copied, then looked at. REQUIRES !full().
  Added add(const PagedPart& part, std::span<std::byte> staging);

  uint32_t size() const { return size_; }
  bool full() const { return size_ == kPartsMax; }
  /// In the order of add().
  std::span<const uint64_t> tickets() const { return {tickets_.data(), size_}; }
  /// What there is to move, with the batch's own tables: for check_paged_move() and the twins.
  PagedMove move() const;
  /// The same with copies of the tables (the first tables_used() bytes) and of the layers' bases elsewhere.
  PagedMove move_with(std::byte* tables, std::byte* const* layer_base) const;
  size_t tables_used() const;
  std::span<const std::byte> tables() const { return tables_; }
  void clear();

 private:
  std::span<int32_t> entries(uint32_t chunk) const;
  bool is_right(const PagedPart& part, std::span<std::byte> staging) const;

  const PagedMemory& memory_;
  // StagedPart[kPartsMax], then the block table: kPartsMax chunks, and one for ids that are still looked at.
  std::span<std::byte> tables_;
  std::array<uint64_t, kPartsMax> tickets_{};
  std::span<std::byte> staging_;
  uint32_t size_ = 0;
  uint32_t chunks_ = 0;
  uint32_t planes_max_ = 0;
  uint32_t token_first_ = 0;
};

}  // namespace shadowserve
