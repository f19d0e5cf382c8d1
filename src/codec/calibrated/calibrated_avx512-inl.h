// Rows of calibrated planes with AVX-512 and VBMI2: from symbols by class to elements in registers.
#if defined(SHADOWSERVE_CALIBRATED_AVX512_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef SHADOWSERVE_CALIBRATED_AVX512_INL
#undef SHADOWSERVE_CALIBRATED_AVX512_INL
#else
#define SHADOWSERVE_CALIBRATED_AVX512_INL
#endif

#include <cstddef>
#include <cstdint>

#include "codec/calibrated/calibrated_kernel.h"
#include "codec/narrow_avx512-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

/// 64 channels of a row.
struct Block {
  __m512 values[4];
};

/// What all rows of a frame share, by value: stores past the caches might otherwise change it.
struct RowShape {
  const BlockLookup* lookups;
  const uint8_t* places;
  const uint64_t* masks;
  const float* steps;
  const float* offsets;
  size_t channels, head_dim, pairs;
  explicit RowShape(const CalibratedPlane& plane)
      : lookups(plane.lookups.data()),
        places(plane.lookup_places.data()),
        masks(plane.lookup_masks.data()),
        steps(plane.steps.data()),
        offsets(plane.offsets.data()),
        channels(plane.channels),
        head_dim(plane.head_dim),
        pairs(plane.turns == nullptr ? 0 : plane.turns->pairs()) {}
};

/// Symbols of 64 channels of a row of places. `kReaches`: of all blocks, 0 where they differ.
template <size_t kReaches>
HWY_INLINE __m512i block_symbols(const RowShape& shape, const uint8_t* row, size_t channel) {
  const BlockLookup lookup = shape.lookups[channel / 64];
  const size_t reaches = kReaches > 0 ? kReaches : lookup.reaches;
  const uint64_t* const masks = shape.masks + lookup.masks;
  const uint8_t* from = row + lookup.window;
  __m512i found = _mm512_loadu_si512(shape.places + channel);
  // Each byte is an index until its place's turn comes, and a symbol from then on.
  for (size_t i = 0; i < reaches; ++i, from += 128) {
    found = _mm512_mask2_permutex2var_epi8(_mm512_loadu_si512(from), found, masks[i],
                                           _mm512_loadu_si512(from + 64));
  }
  return found;
}

/// The same times steps plus offsets.
template <size_t kReaches>
HWY_INLINE Block block_values(const RowShape& shape, const uint8_t* row, size_t channel) {
  const __m512i symbols = block_symbols<kReaches>(shape, row, channel);
  const float* const steps = shape.steps + channel;
  const float* const offsets = shape.offsets + channel;
  const auto value = [&](__m512 symbol, size_t at) HWY_ATTR {
    return _mm512_fmadd_ps(symbol, _mm512_loadu_ps(steps + at), _mm512_loadu_ps(offsets + at));
  };
  return {{value(quarter_as_float<0>(symbols), 0), value(quarter_as_float<1>(symbols), 16),
           value(quarter_as_float<2>(symbols), 32), value(quarter_as_float<3>(symbols), 48)}};
}

/// a cos - b sin and b cos + a sin of 16 pairs.
HWY_INLINE void turn_16(__m512& a, __m512& b, const float* cosines, const float* sines, size_t pair) {
  const __m512 cos = _mm512_loadu_ps(cosines + pair), sin = _mm512_loadu_ps(sines + pair);
  const __m512 turned = _mm512_fmsub_ps(a, cos, _mm512_mul_ps(b, sin));
  b = _mm512_fmadd_ps(b, cos, _mm512_mul_ps(a, sin));
  a = turned;
}

template <ElementType kType, bool kPlain, bool kStream>
HWY_INLINE void put_block(const Block& block, uint8_t* values, size_t channel) {
  put_32<kStream>(narrow_32<kType, kPlain>(block.values[0], block.values[1]), values + 2 * channel);
  put_32<kStream>(narrow_32<kType, kPlain>(block.values[2], block.values[3]), values + 2 * channel + 64);
}

/// How the channels of a head turn, as far as there is a loop for it.
enum class Turning {
  kNone,
  kBlocks,  ///< pairs fill whole blocks: a block of firsts with a block of seconds
  kInside,  ///< 32 pairs: both halves of the head's first block
};

template <ElementType kType, bool kPlain, bool kStream, Turning kTurning, size_t kReaches>
HWY_INLINE void put_head(const RowShape& shape, const uint8_t* row, const float* cosines, const float* sines,
                         size_t head, uint8_t* values) {
  size_t done = 0;  // channels of the head
  if constexpr (kTurning == Turning::kBlocks) {
    const size_t pairs = shape.pairs;
    for (size_t pair = 0; pair < pairs; pair += 64) {
      Block a = block_values<kReaches>(shape, row, head + pair);
      Block b = block_values<kReaches>(shape, row, head + pairs + pair);
      for (size_t i = 0; i < 4; ++i) turn_16(a.values[i], b.values[i], cosines, sines, pair + 16 * i);
      put_block<kType, kPlain, kStream>(a, values, head + pair);
      put_block<kType, kPlain, kStream>(b, values, head + pairs + pair);
    }
    done = 2 * pairs;
  }
  if constexpr (kTurning == Turning::kInside) {
    Block block = block_values<kReaches>(shape, row, head);
    turn_16(block.values[0], block.values[2], cosines, sines, 0);
    turn_16(block.values[1], block.values[3], cosines, sines, 16);
    put_block<kType, kPlain, kStream>(block, values, head);
    done = 64;
  }
  for (; done < shape.head_dim; done += 64)
    put_block<kType, kPlain, kStream>(block_values<kReaches>(shape, row, head + done), values, head + done);
}

template <ElementType kType, bool kPlain, bool kStream, Turning kTurning, size_t kReaches>
void put_rows(const CalibratedPlane& plane, uint32_t tokens, const TurnRows& turns, const uint8_t* symbols,
              uint8_t* values) {
  const RowShape shape(plane);
  const float *cos = turns.cos, *sin = turns.sin;
  for (uint32_t t = 0; t < tokens; ++t) {
    for (size_t head = 0; head < shape.channels; head += shape.head_dim)
      put_head<kType, kPlain, kStream, kTurning, kReaches>(shape, symbols, cos, sin, head, values);
    symbols += shape.channels;
    values += shape.channels * kElementBytes;
    cos += turns.stride;
    sin += turns.stride;
  }
}

/// How often all blocks look; 0 where that differs or is more often than there is a loop for.
HWY_INLINE size_t common_reaches(const CalibratedPlane& plane) {
  const size_t first = plane.lookups.front().reaches;
  for (const BlockLookup& lookup : plane.lookups) {
    if (lookup.reaches != first) return 0;
  }
  return first <= 2 ? first : 0;
}

/// False, with nothing done, where heads are no whole blocks or turn in another way.
bool dequantize_blocks(const CalibratedPlane& plane, uint32_t tokens, const TurnRows& turns,
                       const uint8_t* symbols, uint8_t* values, bool stream) {
  if (plane.head_dim % 64 != 0) return false;
  const size_t pairs = plane.turns == nullptr ? 0 : plane.turns->pairs();
  if (pairs > 0 && plane.turns->pairing() != RotationPairing::kHalves) return false;
  if (pairs % 64 != 0 && pairs != 32) return false;
  const size_t reaches = common_reaches(plane);
  const auto with_reaches = [&]<ElementType kType, bool kPlain, bool kStream, Turning kTurning>() HWY_ATTR {
    if (reaches == 1) return put_rows<kType, kPlain, kStream, kTurning, 1>;
    if (reaches == 2) return put_rows<kType, kPlain, kStream, kTurning, 2>;
    return put_rows<kType, kPlain, kStream, kTurning, 0>;
  };
  const auto with_turning = [&]<ElementType kType, bool kPlain, bool kStream>() HWY_ATTR {
    if (pairs == 0) return with_reaches.template operator()<kType, kPlain, kStream, Turning::kNone>();
    if (pairs == 32) return with_reaches.template operator()<kType, kPlain, kStream, Turning::kInside>();
    return with_reaches.template operator()<kType, kPlain, kStream, Turning::kBlocks>();
  };
  const auto with_stores = [&]<ElementType kType, bool kPlain>() HWY_ATTR {
    const bool past_caches = stream && reinterpret_cast<uintptr_t>(values) % 64 == 0;
    return past_caches ? with_turning.template operator()<kType, kPlain, true>()
                       : with_turning.template operator()<kType, kPlain, false>();
  };
  const auto pick = [&]() HWY_ATTR {
    if (plane.element == ElementType::kFp16)
      return with_stores.template operator()<ElementType::kFp16, false>();
    return with_stores.template operator()<ElementType::kBf16, true>();
  };
  if (plane.element == ElementType::kBf16 && !has_bf16_narrowing()) return false;
  pick()(plane, tokens, turns, symbols, values);
  return true;
}

#else

HWY_INLINE bool dequantize_blocks(const CalibratedPlane&, uint32_t, const TurnRows&, const uint8_t*, uint8_t*,
                                  bool) {
  return false;
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#endif
