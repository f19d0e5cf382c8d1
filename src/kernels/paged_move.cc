// What the paged moves mean, as plain loops, and the checks before the kernels.
#include "kernels/paged_move.h"

#include <algorithm>
#include <cstring>

namespace shadowserve {
namespace {

// No stride or size near this exists; below it no product of the kernels overflows.
constexpr uint64_t kElementsMax = uint64_t{1} << 40;

bool layout_is_sane(const PagedLayout& layout) {
  const bool shape = layout.layers > 0 && layout.heads > 0 && layout.head_dim > 0 &&
                     layout.block_tokens > 0 && layout.blocks > 0 && layout.blocks <= INT32_MAX &&
                     (layout.planes_per_layer == 1 || layout.planes_per_layer == 2) &&
                     (layout.element_bytes == 1 || layout.element_bytes == 2) &&
                     layout.layers <= UINT32_MAX / 2 && layout.row_bytes() <= UINT32_MAX / 2;
  if (!shape) return false;
  const uint64_t farthest =
      std::max({layout.plane_stride, layout.block_stride, layout.token_stride, layout.head_stride});
  if (farthest > kElementsMax / std::max({layout.blocks, layout.block_tokens, layout.heads, 2u}))
    return false;
  // Tokens that share memory would overwrite each other.
  const bool apart = (layout.heads == 1 || layout.head_stride >= layout.head_dim) &&
                     (layout.block_tokens == 1 || layout.token_stride >= layout.head_dim) &&
                     (layout.blocks == 1 || layout.block_stride >= layout.head_dim) &&
                     (layout.planes_per_layer == 1 || layout.plane_stride >= layout.head_dim);
  return apart;
}

bool part_is_sane(const PagedMove& move, const StagedPart& part) {
  if (part.plane_count == 0 || part.plane_count > move.part_planes_max) return false;
  if (part.plane_first > move.layout.planes() || part.plane_count > move.layout.planes() - part.plane_first)
    return false;
  if (part.token_first > UINT32_MAX - move.chunk_tokens) return false;
  const uint64_t bytes = part.plane_count * move.plane_bytes();
  return bytes <= move.staging_bytes && part.offset_bytes <= move.staging_bytes - bytes;
}

// Calls `each(staged, paged)` with the addresses of every head of every token that moves.
template <typename Each>
void for_each_head(const PagedMove& move, Each each) {
  const PagedLayout& layout = move.layout;
  const size_t head_bytes = size_t{layout.head_dim} * layout.element_bytes;
  for (uint32_t p = 0; p < move.part_count; ++p) {
    const StagedPart& part = move.parts[p];
    const uint32_t first = std::max(part.token_first, move.token_begin);
    const uint32_t end = std::min(part.token_first + move.chunk_tokens, move.token_end);
    for (uint32_t i = 0; i < part.plane_count; ++i) {
      const uint32_t plane = part.plane_first + i;
      std::byte* rows = move.staging + part.offset_bytes + i * move.plane_bytes();
      std::byte* layer = move.layer_base[plane / layout.planes_per_layer];
      for (uint32_t token = first; token < end; ++token) {
        const auto block = static_cast<uint32_t>(move.block_table[token / layout.block_tokens]);
        std::byte* row = rows + (token - part.token_first) * layout.row_bytes();
        for (uint32_t head = 0; head < layout.heads; ++head) {
          const uint64_t element =
              layout.element(plane % layout.planes_per_layer, block, token % layout.block_tokens, head, 0);
          each(row + head * head_bytes, layer + element * layout.element_bytes);
        }
      }
    }
  }
}

}  // namespace

Result<void> check_paged_move(const PagedMove& move) {
  if (!layout_is_sane(move.layout)) return fail(Error::kConfig);
  if (move.layer_base == nullptr || move.block_table == nullptr || move.parts == nullptr ||
      move.staging == nullptr || move.chunk_tokens == 0)
    return fail(Error::kConfig);
  for (uint32_t layer = 0; layer < move.layout.layers; ++layer) {
    if (move.layer_base[layer] == nullptr) return fail(Error::kConfig);
  }
  if (move.chunk_tokens > kElementsMax / move.layout.row_bytes()) return fail(Error::kConfig);
  for (uint32_t p = 0; p < move.part_count; ++p) {
    if (!part_is_sane(move, move.parts[p])) return fail(Error::kConfig);
  }
  if (move.token_begin > move.token_end) return fail(Error::kConfig);
  if (move.token_begin == move.token_end) return {};
  if ((move.token_end - 1) / move.layout.block_tokens >= move.block_table_size) return fail(Error::kConfig);
  // Entries outside the range may be anything: the engine has not given out those blocks yet.
  const uint32_t last = (move.token_end - 1) / move.layout.block_tokens;
  for (uint32_t i = move.token_begin / move.layout.block_tokens; i <= last; ++i) {
    if (static_cast<uint32_t>(move.block_table[i]) >= move.layout.blocks) return fail(Error::kConfig);
  }
  return {};
}

void scatter_paged_twin(const PagedMove& move) {
  const size_t bytes = size_t{move.layout.head_dim} * move.layout.element_bytes;
  for_each_head(move, [=](std::byte* staged, std::byte* paged) { std::memcpy(paged, staged, bytes); });
}

void gather_paged_twin(const PagedMove& move) {
  const size_t bytes = size_t{move.layout.head_dim} * move.layout.element_bytes;
  for_each_head(move, [=](std::byte* staged, std::byte* paged) { std::memcpy(staged, paged, bytes); });
}

}  // namespace shadowserve
