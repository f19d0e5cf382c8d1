// Scatter and gather in 128-bit vectors; the oracle takes the tails.
#include "control/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "contract/check.h"
#include "contract/limits.h"
#include "control/placement_blocks.h"

namespace shadowserve {
namespace {

// Blocks are 16 tokens by 16 dims at least: what every layout's inner loop below is written for.
constexpr uint32_t kBlock = 16;

struct HeadView {
  size_t page;  // bytes from the page's start to this head's plane
  size_t rows;  // bytes from a row's start to this head's first channel
};

HeadView head_view(const PageShape& shape, PlaneKind kind, uint32_t head) {
  const size_t values = kind == PlaneKind::kValues ? shape.plane_bytes() : 0;
  return {head * shape.head_stride_bytes + values, size_t{head} * shape.head_dim * shape.element_bytes};
}

bool rows_are_contiguous(const PageShape& shape, PlaneKind kind) {
  return shape.layout == PageLayout::kPlain ||
         (shape.layout == PageLayout::kVec && kind == PlaneKind::kValues);
}

size_t element_in_plane(const PageShape& shape, PlaneKind kind, uint32_t token, uint32_t dim) {
  const size_t t = token, d = dim, n = shape.page_tokens, width = shape.head_dim;
  if (rows_are_contiguous(shape, kind)) return t * width + d;
  if (shape.layout == PageLayout::kVec) return d * n + t;
  if (kind == PlaneKind::kKeys) return t / 16 * 16 * width + d / 2 * 32 + t % 16 * 2 + d % 2;
  return d / 16 * n * 16 + t / 2 * 32 + d % 16 * 2 + t % 2;
}

void copy_rows(const HeadBlocks& head, size_t width, bool place) {
  for (uint32_t t = head.first; t < head.end; ++t) {
    std::byte* row = head.rows + t * head.row_bytes;
    std::byte* at = head.page + t * width;
    std::memcpy(place ? at : row, place ? row : at, width);
  }
}

// What the fast path covers: whole blocks of tokens, and every dim (rows) or whole blocks of dims (vec keys).
struct FastRange {
  uint32_t first = 0, end = 0, dims = 0;
};

// Moves the fast range of every head; returns what was covered (nothing without vectors).
FastRange move_fast(const PageShape& shape, PlaneKind kind, std::byte* rows, std::byte* page,
                    uint32_t token_first, bool place) {
  const bool any_width = rows_are_contiguous(shape, kind);
  FastRange range{token_first, shape.page_tokens, shape.head_dim};
  if (!any_width) {
    range.first = std::min(shape.page_tokens, (token_first + kBlock - 1) / kBlock * kBlock);
    range.end = std::max(range.first, shape.page_tokens / kBlock * kBlock);
    range.dims = shape.head_dim / kBlock * kBlock;
  }
  BlockMove move = place ? BlockMove::kPlaceTransposed : BlockMove::kGatherTransposed;
  if (shape.element_bytes == 1) {
    if (shape.layout == PageLayout::kAmx) return {token_first, token_first, 0};
    move = place ? BlockMove::kPlaceBytes : BlockMove::kGatherBytes;
  } else if (shape.layout == PageLayout::kAmx && kind == PlaneKind::kKeys) {
    move = place ? BlockMove::kPlaceDimPairs : BlockMove::kGatherDimPairs;
  } else if (shape.layout == PageLayout::kAmx) {
    move = place ? BlockMove::kPlaceTokenPairs : BlockMove::kGatherTokenPairs;
  }
  for (uint32_t head = 0; head < shape.kv_heads; ++head) {
    const HeadView at = head_view(shape, kind, head);
    const HeadBlocks blocks{rows + at.rows, shape.row_bytes(), page + at.page, shape.page_tokens,
                            shape.head_dim, range.first,       range.end};
    if (any_width) {
      copy_rows(blocks, size_t{shape.head_dim} * shape.element_bytes, place);
    } else if (!move_blocks(move, blocks)) {
      return {token_first, token_first, 0};
    }
  }
  return range;
}

}  // namespace

Result<void> PageShape::validate(std::string& message) const {
  if (layout != PageLayout::kVec && layout != PageLayout::kAmx && layout != PageLayout::kPlain) {
    message = fmt::format("page layout {} is unknown: use vec, amx or plain", static_cast<uint32_t>(layout));
    return fail(Error::kUnsupported);
  }
  if (page_tokens == 0 || kv_heads == 0 || head_dim == 0 || page_tokens > kChunkTokensMax ||
      kv_heads > kKvHeadsMax || head_dim > kHeadDimMax) {
    message = fmt::format("a page of {} tokens, {} heads and head_dim {} is out of range", page_tokens,
                          kv_heads, head_dim);
    return fail(Error::kConfig);
  }
  if ((element_bytes != 1 && element_bytes != 2) || (planes != 2 && planes != 1)) {
    message = fmt::format("a page of {} planes of {}-byte elements is unknown", planes, element_bytes);
    return fail(Error::kConfig);
  }
  if (planes == 1 && (layout != PageLayout::kPlain || kv_heads != 1)) {
    message = "a latent page (MLA) is plain and has one head";
    return fail(Error::kUnsupported);
  }
  if (layout == PageLayout::kAmx && (page_tokens % kBlock != 0 || head_dim % kBlock != 0)) {
    message = fmt::format("amx pages need page_tokens and head_dim in multiples of 16, not {} and {}",
                          page_tokens, head_dim);
    return fail(Error::kUnsupported);
  }
  if (kv_heads > 1 && head_stride_bytes < head_bytes()) {
    message = fmt::format("head_stride_bytes {} is less than the {} bytes of one head", head_stride_bytes,
                          head_bytes());
    return fail(Error::kConfig);
  }
  return {};
}

size_t page_element(const PageShape& shape, PlaneKind kind, uint32_t token, uint32_t dim) {
  const size_t values = kind == PlaneKind::kValues ? size_t{shape.page_tokens} * shape.head_dim : 0;
  return values + element_in_plane(shape, kind, token, dim);
}

void place_plane_oracle(const PageShape& shape, PlaneKind kind, const std::byte* rows, std::byte* page,
                        uint32_t token_first, uint32_t token_end, uint32_t dim_first) {
  const size_t each = shape.element_bytes;
  for (uint32_t head = 0; head < shape.kv_heads; ++head) {
    const HeadView at = head_view(shape, kind, head);
    for (uint32_t t = token_first; t < token_end; ++t) {
      for (uint32_t d = dim_first; d < shape.head_dim; ++d) {
        std::memcpy(page + at.page + each * element_in_plane(shape, kind, t, d),
                    rows + t * shape.row_bytes() + at.rows + each * d, each);
      }
    }
  }
}

void gather_plane_oracle(const PageShape& shape, PlaneKind kind, const std::byte* page, std::byte* rows,
                         uint32_t token_first, uint32_t token_end, uint32_t dim_first) {
  const size_t each = shape.element_bytes;
  for (uint32_t head = 0; head < shape.kv_heads; ++head) {
    const HeadView at = head_view(shape, kind, head);
    for (uint32_t t = token_first; t < token_end; ++t) {
      for (uint32_t d = dim_first; d < shape.head_dim; ++d) {
        const std::byte* from = page + at.page + each * element_in_plane(shape, kind, t, d);
        std::byte* to = rows + t * shape.row_bytes() + at.rows + each * d;
#ifdef __SANITIZE_THREAD__
        // A cancelled save may be gathered while the engine overwrites the page, and is then thrown away.
        for (size_t i = 0; i < each; ++i) {
          auto* shared = reinterpret_cast<uint8_t*>(const_cast<std::byte*>(from)) + i;
          to[i] = std::byte{std::atomic_ref<uint8_t>(*shared).load(std::memory_order_relaxed)};
        }
#else
        std::memcpy(to, from, each);
#endif
      }
    }
  }
}

void place_plane(const PageShape& shape, PlaneKind kind, const std::byte* rows, std::byte* page,
                 uint32_t token_first) {
  SS_CHECK(token_first <= shape.page_tokens, "the caller skips pages that lie before the first token");
  const FastRange done = move_fast(shape, kind, const_cast<std::byte*>(rows), page, token_first, true);
  place_plane_oracle(shape, kind, rows, page, token_first, done.first);
  place_plane_oracle(shape, kind, rows, page, done.first, done.end, done.dims);
  place_plane_oracle(shape, kind, rows, page, done.end, shape.page_tokens);
}

void gather_plane(const PageShape& shape, PlaneKind kind, const std::byte* page, std::byte* rows) {
#ifdef __SANITIZE_THREAD__
  gather_plane_oracle(shape, kind, page, rows, 0, shape.page_tokens);  // see there
#else
  const FastRange done = move_fast(shape, kind, rows, const_cast<std::byte*>(page), 0, false);
  gather_plane_oracle(shape, kind, page, rows, 0, done.end, done.dims);
  gather_plane_oracle(shape, kind, page, rows, done.end, shape.page_tokens);
#endif
}

}  // namespace shadowserve
