// Collects parts into the tables of one launch.
#include "kernels/paged_batch.h"

#include <algorithm>

#include "contract/check.h"
#include "contract/limits.h"

namespace shadowserve {
namespace {

constexpr size_t kPartsBytes = PagedBatch::kPartsMax * sizeof(StagedPart);

}  // namespace

Result<void> check_paged_memory(const PagedMemory& memory) {
  const PagedLayout& layout = memory.layout;
  // With these limits no number of tokens or bytes of a batch overflows.
  if (layout.layers > kLayersMax || memory.chunk_tokens > kChunkTokensMax) return fail(Error::kConfig);
  if (memory.layer_base.size() != layout.layers || layout.block_tokens == 0 || memory.chunk_tokens == 0 ||
      memory.chunk_tokens % layout.block_tokens != 0)
    return fail(Error::kConfig);
  // A move of nothing: what remains to be wrong are the layout and the layers.
  const StagedPart part;
  const int32_t block = 0;
  std::byte staging{};
  PagedMove nothing{.layout = layout, .layer_base = memory.layer_base.data()};
  nothing.block_table = &block;
  nothing.parts = &part;
  nothing.chunk_tokens = memory.chunk_tokens;
  nothing.staging = &staging;
  return check_paged_move(nothing);
}

size_t PagedBatch::tables_bytes(const PagedMemory& memory) {
  return (kPartsBytes + (kPartsMax + 1) * memory.chunk_blocks() * sizeof(int32_t) + 15) / 16 * 16;
}

PagedBatch::PagedBatch(const PagedMemory& memory, std::span<std::byte> tables)
    : memory_(memory), tables_(tables) {
  SS_CHECK(tables.size() >= tables_bytes(memory), "the caller sized the tables");
  SS_CHECK(reinterpret_cast<uintptr_t>(tables.data()) % alignof(StagedPart) == 0, "tables are aligned");
}

std::span<int32_t> PagedBatch::entries(uint32_t chunk) const {
  auto* table = reinterpret_cast<int32_t*>(tables_.data() + kPartsBytes);
  return {table + size_t{chunk} * memory_.chunk_blocks(), memory_.chunk_blocks()};
}

// A part is checked alone, by what stands before every launch: it fails here, and not the launch with all
// the parts of others in it. Its block ids are already in the table's next entries, where nobody else can
// change them any more.
bool PagedBatch::is_right(const PagedPart& part, std::span<std::byte> staging) const {
  const StagedPart staged{part.staging_offset, 0, part.plane_first, part.plane_count};
  PagedMove alone{.layout = memory_.layout, .layer_base = memory_.layer_base.data()};
  alone.block_table = entries(chunks_).data();
  alone.block_table_size = memory_.chunk_blocks();
  alone.parts = &staged;
  alone.part_count = 1;
  alone.part_planes_max = memory_.layout.planes();
  alone.chunk_tokens = memory_.chunk_tokens;
  alone.staging = staging.data();
  alone.staging_bytes = staging.size();
  alone.token_begin = part.token_first;
  alone.token_end = memory_.chunk_tokens;
  return check_paged_move(alone).has_value();
}

PagedBatch::Added PagedBatch::add(const PagedPart& part, std::span<std::byte> staging) {
  SS_CHECK(!full(), "a full batch is started at once");
  if (part.block_ids.size() != memory_.chunk_blocks() || part.token_first >= memory_.chunk_tokens)
    return Added::kRefused;
  // A gathered part is saved as a whole: one with its first rows missing would be somebody else's bytes.
  if (part.direction == PagedDirection::kGather && part.token_first > 0) return Added::kRefused;
  const std::span<int32_t> ids = entries(chunks_);
  std::copy(part.block_ids.begin(), part.block_ids.end(), ids.begin());
  if (!is_right(part, staging)) return Added::kRefused;

  if (size_ > 0 && (part.token_first != token_first_ || staging.data() != staging_.data() ||
                    staging.size() != staging_.size()))
    return Added::kElsewhere;
  // The parts of a chunk mostly come one after the other.
  const uint32_t unused = part.token_first / memory_.layout.block_tokens;
  const bool same_chunk =
      chunks_ > 0 && std::equal(ids.begin() + unused, ids.end(), entries(chunks_ - 1).begin() + unused);
  if (!same_chunk) {
    if (part.token_first > 0 && chunks_ > 0) return Added::kElsewhere;
    ++chunks_;
  }
  staging_ = staging;
  token_first_ = part.token_first;
  planes_max_ = std::max(planes_max_, part.plane_count);
  reinterpret_cast<StagedPart*>(tables_.data())[size_] = {
      part.staging_offset, (chunks_ - 1) * memory_.chunk_tokens, part.plane_first, part.plane_count};
  tickets_[size_++] = part.ticket;
  return Added::kYes;
}

PagedMove PagedBatch::move() const { return move_with(tables_.data(), memory_.layer_base.data()); }

PagedMove PagedBatch::move_with(std::byte* tables, std::byte* const* layer_base) const {
  PagedMove move{.layout = memory_.layout, .layer_base = layer_base};
  move.block_table = reinterpret_cast<const int32_t*>(tables + kPartsBytes);
  move.block_table_size = chunks_ * memory_.chunk_blocks();
  move.parts = reinterpret_cast<const StagedPart*>(tables);
  move.part_count = size_;
  move.part_planes_max = planes_max_;
  move.chunk_tokens = memory_.chunk_tokens;
  move.staging = staging_.data();
  move.staging_bytes = staging_.size();
  move.token_begin = token_first_;
  move.token_end = chunks_ * memory_.chunk_tokens;
  return move;
}

size_t PagedBatch::tables_used() const {
  return kPartsBytes + chunks_ * memory_.chunk_blocks() * sizeof(int32_t);
}

void PagedBatch::clear() {
  staging_ = {};
  size_ = chunks_ = planes_max_ = token_first_ = 0;
}

}  // namespace shadowserve
