// Block moves: 8-bit, 16-bit and 32-bit transposes and interleaves in 128-bit vectors.
#include "control/placement_blocks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "control/placement_blocks.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
bool move_head(BlockMove, const HeadBlocks&) { return false; }
#else

namespace hn = hwy::HWY_NAMESPACE;
using Tag16 = hn::FixedTag<uint16_t, 8>;
using Tag8 = hn::FixedTag<uint8_t, 16>;
using Tag32 = hn::FixedTag<uint32_t, 4>;
using Tag64 = hn::FixedTag<uint64_t, 2>;
using Vec = hn::Vec<Tag16>;

HWY_INLINE Vec load(const std::byte* from) {
  return hn::LoadU(Tag16(), reinterpret_cast<const uint16_t*>(from));
}
HWY_INLINE void store(Vec value, std::byte* to) {
  hn::StoreU(value, Tag16(), reinterpret_cast<uint16_t*>(to));
}
template <class Tag>
HWY_INLINE Vec low(Vec a, Vec b) {
  return hn::BitCast(Tag16(), hn::InterleaveLower(Tag(), hn::BitCast(Tag(), a), hn::BitCast(Tag(), b)));
}
template <class Tag>
HWY_INLINE Vec high(Vec a, Vec b) {
  return hn::BitCast(Tag16(), hn::InterleaveUpper(Tag(), hn::BitCast(Tag(), a), hn::BitCast(Tag(), b)));
}

// to[j][i] = from[i][j] for 8 x 8 elements of 2 bytes; strides in bytes.
HWY_INLINE void transpose_8x8(const std::byte* from, size_t from_stride, std::byte* to, size_t to_stride) {
  const Vec r0 = load(from), r1 = load(from + from_stride);
  const Vec r2 = load(from + 2 * from_stride), r3 = load(from + 3 * from_stride);
  const Vec r4 = load(from + 4 * from_stride), r5 = load(from + 5 * from_stride);
  const Vec r6 = load(from + 6 * from_stride), r7 = load(from + 7 * from_stride);
  const Vec a0 = low<Tag16>(r0, r1), a1 = high<Tag16>(r0, r1), a2 = low<Tag16>(r2, r3);
  const Vec a3 = high<Tag16>(r2, r3), a4 = low<Tag16>(r4, r5), a5 = high<Tag16>(r4, r5);
  const Vec a6 = low<Tag16>(r6, r7), a7 = high<Tag16>(r6, r7);
  const Vec b0 = low<Tag32>(a0, a2), b1 = high<Tag32>(a0, a2), b2 = low<Tag32>(a1, a3);
  const Vec b3 = high<Tag32>(a1, a3), b4 = low<Tag32>(a4, a6), b5 = high<Tag32>(a4, a6);
  const Vec b6 = low<Tag32>(a5, a7), b7 = high<Tag32>(a5, a7);
  store(low<Tag64>(b0, b4), to);
  store(high<Tag64>(b0, b4), to + to_stride);
  store(low<Tag64>(b1, b5), to + 2 * to_stride);
  store(high<Tag64>(b1, b5), to + 3 * to_stride);
  store(low<Tag64>(b2, b6), to + 4 * to_stride);
  store(high<Tag64>(b2, b6), to + 5 * to_stride);
  store(low<Tag64>(b3, b7), to + 6 * to_stride);
  store(high<Tag64>(b3, b7), to + 7 * to_stride);
}

// The same for 4 x 4 elements of 4 bytes.
HWY_INLINE void transpose_4x4(const std::byte* from, size_t from_stride, std::byte* to, size_t to_stride) {
  const Vec r0 = load(from), r1 = load(from + from_stride);
  const Vec r2 = load(from + 2 * from_stride), r3 = load(from + 3 * from_stride);
  const Vec a0 = low<Tag32>(r0, r1), a1 = high<Tag32>(r0, r1);
  const Vec a2 = low<Tag32>(r2, r3), a3 = high<Tag32>(r2, r3);
  store(low<Tag64>(a0, a2), to);
  store(high<Tag64>(a0, a2), to + to_stride);
  store(low<Tag64>(a1, a3), to + 2 * to_stride);
  store(high<Tag64>(a1, a3), to + 3 * to_stride);
}

// One round of a butterfly over 16 rows: rows 2 i and 2 i + 1 of the new order are the halves of i and i + 8.
HWY_INLINE void interleave_rows(const Vec* from, Vec* to) {
  for (size_t i = 0; i < 8; ++i) {
    to[2 * i] = low<Tag8>(from[i], from[i + 8]);
    to[2 * i + 1] = high<Tag8>(from[i], from[i + 8]);
  }
}

// to[j][i] = from[i][j] for 16 x 16 bytes: four rounds, each moves one bit of the row's number to the
// column's.
HWY_INLINE void transpose_16x16(const std::byte* from, size_t from_stride, std::byte* to, size_t to_stride) {
  Vec a[16], b[16];
  for (size_t i = 0; i < 16; ++i) a[i] = load(from + i * from_stride);
  interleave_rows(a, b);
  interleave_rows(b, a);
  interleave_rows(a, b);
  interleave_rows(b, a);
  for (size_t i = 0; i < 16; ++i) store(a[i], to + i * to_stride);
}

HWY_INLINE void place_bytes(const HeadBlocks& head, uint32_t dims) {
  for (uint32_t d = 0; d < dims; d += 16) {
    for (uint32_t t = head.first; t < head.end; t += 16) {
      transpose_16x16(head.rows + t * head.row_bytes + d, head.row_bytes,
                      head.page + size_t{d} * head.page_tokens + t, head.page_tokens);
    }
  }
}

HWY_INLINE void gather_bytes(const HeadBlocks& head, uint32_t dims) {
  for (uint32_t t = head.first; t < head.end; t += 16) {
    for (uint32_t d = 0; d < dims; d += 16) {
      transpose_16x16(head.page + size_t{d} * head.page_tokens + t, head.page_tokens,
                      head.rows + t * head.row_bytes + d, head.row_bytes);
    }
  }
}

// Whoever is written decides the order: its cache lines are filled in one go, while the lines of the side
// that is read stay in the first-level cache. A line is 32 tokens of the page, or 32 dims of a row.
HWY_INLINE void place_transposed(const HeadBlocks& head, uint32_t dims) {
  const size_t page_stride = size_t{2} * head.page_tokens;
  for (uint32_t tile = head.first; tile < head.end; tile += 32) {
    const uint32_t tile_end = tile + 32 < head.end ? tile + 32 : head.end;
    for (uint32_t d = 0; d < dims; d += 8) {
      for (uint32_t t = tile; t < tile_end; t += 8) {
        transpose_8x8(head.rows + t * head.row_bytes + size_t{2} * d, head.row_bytes,
                      head.page + d * page_stride + size_t{2} * t, page_stride);
      }
    }
  }
}

HWY_INLINE void gather_transposed(const HeadBlocks& head, uint32_t dims) {
  const size_t page_stride = size_t{2} * head.page_tokens;
  for (uint32_t strip = 0; strip < dims; strip += 32) {
    const uint32_t strip_end = strip + 32 < dims ? strip + 32 : dims;
    for (uint32_t t = head.first; t < head.end; t += 8) {
      for (uint32_t d = strip; d < strip_end; d += 8) {
        transpose_8x8(head.page + d * page_stride + size_t{2} * t, page_stride,
                      head.rows + t * head.row_bytes + size_t{2} * d, head.row_bytes);
      }
    }
  }
}

// Per 16 tokens a 32-bit transpose of dim pairs; a pair's 16 tokens are one cache line of the page.
template <bool kPlace>
HWY_INLINE void move_dim_pairs(const HeadBlocks& head) {
  constexpr size_t kLine = 64;
  for (uint32_t t = head.first; t < head.end; t += 16) {
    std::byte* tile = head.page + size_t{2} * t * head.head_dim;
    for (uint32_t d = 0; d < head.head_dim; d += 8) {
      for (uint32_t quarter = 0; quarter < 4; ++quarter) {
        std::byte* row = head.rows + (t + 4 * quarter) * head.row_bytes + size_t{2} * d;
        std::byte* at = tile + d / 2 * kLine + 16 * quarter;
        if (kPlace) transpose_4x4(row, head.row_bytes, at, kLine);
        if (!kPlace) transpose_4x4(at, kLine, row, head.row_bytes);
      }
    }
  }
}

// Neighbouring tokens interleaved, 16 dims a cache line.
template <bool kPlace>
HWY_INLINE void move_token_pairs(const HeadBlocks& head) {
  for (uint32_t t = head.first; t < head.end; t += 2) {
    for (uint32_t d = 0; d < head.head_dim; d += 16) {
      std::byte* even = head.rows + t * head.row_bytes + size_t{2} * d;
      std::byte* odd = even + head.row_bytes;
      std::byte* line = head.page + size_t{2} * d * head.page_tokens + size_t{32} * t;
      for (int half = 0; half < 2; ++half, even += 16, odd += 16, line += 32) {
        if (kPlace) {
          const Vec a = load(even), b = load(odd);
          store(low<Tag16>(a, b), line);
          store(high<Tag16>(a, b), line + 16);
        } else {
          const Vec a = load(line), b = load(line + 16);
          store(hn::ConcatEven(Tag16(), b, a), even);
          store(hn::ConcatOdd(Tag16(), b, a), odd);
        }
      }
    }
  }
}

bool move_head(BlockMove move, const HeadBlocks& head) {
  switch (move) {
    case BlockMove::kPlaceTransposed:
      place_transposed(head, head.head_dim / 16 * 16);
      break;
    case BlockMove::kGatherTransposed:
      gather_transposed(head, head.head_dim / 16 * 16);
      break;
    case BlockMove::kPlaceDimPairs:
      move_dim_pairs<true>(head);
      break;
    case BlockMove::kGatherDimPairs:
      move_dim_pairs<false>(head);
      break;
    case BlockMove::kPlaceTokenPairs:
      move_token_pairs<true>(head);
      break;
    case BlockMove::kGatherTokenPairs:
      move_token_pairs<false>(head);
      break;
    case BlockMove::kPlaceBytes:
      place_bytes(head, head.head_dim / 16 * 16);
      break;
    case BlockMove::kGatherBytes:
      gather_bytes(head, head.head_dim / 16 * 16);
      break;
  }
  return true;
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace shadowserve {

HWY_EXPORT(move_head);
bool move_blocks(BlockMove move, const HeadBlocks& head) {
  return HWY_DYNAMIC_DISPATCH(move_head)(move, head);
}

}  // namespace shadowserve
#endif
