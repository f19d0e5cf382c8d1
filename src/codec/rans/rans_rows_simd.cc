// One pass from the coder's states to elements in memory. Dequantizing is what keeps the units busy while the
// next states are on their way: apart, each half of this loop waits for itself.
#include "codec/rans/rans_rows.h"

#include <algorithm>
#include <cstring>

#include "codec/element.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/rans/rans_rows_simd.cc"
#include "hwy/foreach_target.h"  // before highway.h: includes this file once a target

#include "codec/narrow_avx512-inl.h"
#include "codec/rans/rans_avx512-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

// Steps and minima in this range make no element that is subnormal: sums of multiples of 2^-117 are zero or
// at least that. The instruction that narrows to bf16 flushes subnormals, the definition (element.h) does
// not.
constexpr uint16_t kPlainScaleMin = 0x0800;  // 2^-111 as bf16; 0 is fine, too
// With 255 levels and these, fp16 cannot overflow.
constexpr uint16_t kPlainScaleEndFp16 = 0x4300;  // 128

/// Every element of a token-symmetric group, by symbol: 32 entries, the last level repeated.
template <ElementType kType>
HWY_INLINE __m512i level_elements(uint32_t levels, uint16_t scale_bits) {
  const __m512 top = _mm512_set1_ps(static_cast<float>(levels - 1));
  const __m512 zero = _mm512_set1_ps(static_cast<float>((levels - 1) / 2));
  const __m512 scale = _mm512_set1_ps(element::from_bf16(scale_bits));
  const __m512 first = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512 second = _mm512_add_ps(first, _mm512_set1_ps(16));
  const __m512 low = _mm512_mul_ps(_mm512_sub_ps(_mm512_min_ps(first, top), zero), scale);
  const __m512 high = _mm512_mul_ps(_mm512_sub_ps(_mm512_min_ps(second, top), zero), scale);
  return narrow_32<kType, false>(low, high);
}

template <bool kStream>
HWY_INLINE void put_levels(__m512i symbols, __m512i elements, uint8_t* values) {
  const __m512i low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(symbols));
  const __m512i high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(symbols, 1));
  put_32<kStream>(_mm512_permutexvar_epi16(low, elements), values);
  put_32<kStream>(_mm512_permutexvar_epi16(high, elements), values + 64);
}

template <ElementType kType, bool kStream, bool kPlain>
HWY_INLINE void put_channels(__m512i symbols, const float* steps, const float* minima, uint8_t* values) {
  const auto value = [&](__m512 symbol, size_t at) HWY_ATTR {
    return _mm512_fmadd_ps(symbol, _mm512_load_ps(steps + at), _mm512_load_ps(minima + at));
  };
  const __m512 first = value(quarter_as_float<0>(symbols), 0),
               second = value(quarter_as_float<1>(symbols), 16);
  const __m512 third = value(quarter_as_float<2>(symbols), 32),
               fourth = value(quarter_as_float<3>(symbols), 48);
  put_32<kStream>(narrow_32<kType, kPlain>(first, second), values);
  put_32<kStream>(narrow_32<kType, kPlain>(third, fourth), values + 64);
}

/// Widens one group's steps and minima. True when its elements can be narrowed the plain way.
HWY_INLINE bool widen_group(const FrameShape& shape, size_t group, const uint8_t* scales, ScaleCache& cache) {
  const uint8_t* const steps = scales + group * 4 * shape.channels;
  const uint8_t* const minima = steps + size_t{shape.channels} * 2;
  const bool bf16 = shape.element == ElementType::kBf16;
  const __m256i least = _mm256_set1_epi16(static_cast<int16_t>(bf16 ? kPlainScaleMin : 0));
  const __m256i end = _mm256_set1_epi16(static_cast<int16_t>(bf16 ? kScaleBitsEnd : kPlainScaleEndFp16));
  __mmask16 odd = 0;
  for (const auto& [from, to] : {std::pair{steps, cache.steps}, std::pair{minima, cache.minima}}) {
    for (size_t i = 0; i < shape.channels; i += 16) {
      const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 2 * i));
      const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi16(0x7fff));
      const __mmask16 nonzero = _mm256_test_epi16_mask(magnitude, magnitude);
      odd |=
          _mm256_mask_cmplt_epu16_mask(nonzero, magnitude, least) | _mm256_cmpge_epu16_mask(magnitude, end);
      _mm512_store_ps(to + i, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16)));
    }
  }
  return odd == 0 && (!bf16 || has_bf16_narrowing());
}

/// The coder's registers for as long as a frame takes.
template <bool kEscape>
struct Decoding {
  DecodeTables tables;
  RansReading& reading;
  Pair first, second;
  const uint8_t* stream;
  __m512i top;

  HWY_INLINE Decoding(const RansLookup& table, RansReading& from, uint32_t levels)
      : tables(table),
        reading(from),
        first(split_lanes(from.lanes.data())),
        second(split_lanes(from.lanes.data() + 64)),
        stream(from.stream),
        top(_mm512_set1_epi8(static_cast<char>(levels - 1))) {}

  /// 128 symbols.
  HWY_INLINE void next(__m512i& low, __m512i& high) {
    if (HWY_LIKELY(reading.stream_end - stream >= static_cast<ptrdiff_t>(kRansLanes))) {
      low = decode_64<kEscape, true>(tables, first, stream, 0, reading);
      high = decode_64<kEscape, true>(tables, second, stream, 0, reading);
    } else {
      low = decode_64<kEscape, false>(tables, first, stream, ~0ull, reading);
      high = decode_64<kEscape, false>(tables, second, stream, ~0ull, reading);
    }
    if constexpr (kEscape) {  // a literal may be anything
      low = _mm512_min_epu8(low, top);
      high = _mm512_min_epu8(high, top);
    }
  }
  HWY_INLINE void give_back() {
    reading.stream = stream;
    join_lanes(first, reading.lanes.data());
    join_lanes(second, reading.lanes.data() + 64);
  }
};

template <ElementType kType, bool kStream, bool kEscape>
void sym_rows(const FrameShape& shape, const RansLookup& table, RansReading& reading, const uint8_t* scales,
              uint8_t* values) {
  Decoding<kEscape> decoding(table, reading, shape.levels);
  const size_t groups = size_t{shape.tokens} * (shape.channels / shape.group_channels);
  __m512i low, high;
  for (size_t group = 0; group < groups; ++group) {
    uint16_t scale;
    std::memcpy(&scale, scales + group * 2, sizeof scale);
    const __m512i elements = level_elements<kType>(shape.levels, scale);
    for (size_t i = 0; i < shape.group_channels; i += kRansLanes, values += 2 * kRansLanes) {
      decoding.next(low, high);
      put_levels<kStream>(low, elements, values);
      put_levels<kStream>(high, elements, values + 128);
    }
  }
  decoding.give_back();
}

template <ElementType kType, bool kStream, bool kEscape, bool kPlain>
HWY_INLINE void channel_row(const FrameShape& shape, Decoding<kEscape>& decoding, const ScaleCache& cache,
                            uint8_t* values) {
  __m512i low, high;
  for (size_t i = 0; i < shape.channels; i += kRansLanes, values += 2 * kRansLanes) {
    decoding.next(low, high);
    put_channels<kType, kStream, kPlain>(low, cache.steps + i, cache.minima + i, values);
    put_channels<kType, kStream, kPlain>(high, cache.steps + i + 64, cache.minima + i + 64, values + 128);
  }
}

template <ElementType kType, bool kStream, bool kEscape>
void channel_rows(const FrameShape& shape, const RansLookup& table, RansReading& reading,
                  const uint8_t* scales, uint8_t* values, ScaleCache& cache) {
  Decoding<kEscape> decoding(table, reading, shape.levels);
  const size_t row_bytes = size_t{shape.channels} * kElementBytes;
  for (size_t token = 0; token < shape.tokens;) {
    const bool plain = widen_group(shape, token / shape.group_tokens, scales, cache);
    const size_t end = std::min<size_t>(shape.tokens, (token / shape.group_tokens + 1) * shape.group_tokens);
    for (; token < end; ++token, values += row_bytes) {
      if (plain) {
        channel_row<kType, kStream, kEscape, true>(shape, decoding, cache, values);
      } else {
        channel_row<kType, kStream, kEscape, false>(shape, decoding, cache, values);
      }
    }
  }
  decoding.give_back();
}

template <ElementType kType, bool kStream, bool kEscape>
void all_rows(const FrameShape& shape, const RansLookup& table, RansReading& reading, const uint8_t* scales,
              uint8_t* values, ScaleCache& cache) {
  if (shape.quantizer == QuantizerId::kTokenSym) {
    sym_rows<kType, kStream, kEscape>(shape, table, reading, scales, values);
  } else {
    cache.scales = nullptr;  // the arrays are used, not what they remember
    channel_rows<kType, kStream, kEscape>(shape, table, reading, scales, values, cache);
  }
}

bool rans_rows(const FrameShape& shape, const RansLookup& table, RansReading& reading, const uint8_t* scales,
               uint8_t* values, ScaleCache& cache, bool stream) {
  const bool sym = shape.quantizer == QuantizerId::kTokenSym;
  const size_t unit = sym ? shape.group_channels : shape.channels;
  const bool escape = table.escape_slot < kRansSlots;
  const uint32_t symbol_end = uint32_t{table.base} + table.count - (escape ? 1 : 0);
  if (unit % kRansLanes != 0 || shape.levels > kRansEntriesMax || (!sym && unit > ScaleCache::kChannels))
    return false;
  if (shape.quantizer == QuantizerId::kRaw || (!escape && symbol_end > shape.levels)) return false;
  const bool past_caches = stream && reinterpret_cast<uintptr_t>(values) % 64 == 0;
  const auto pick = [&]<ElementType kType>() HWY_ATTR {
    if (past_caches) return escape ? all_rows<kType, true, true> : all_rows<kType, true, false>;
    return escape ? all_rows<kType, false, true> : all_rows<kType, false, false>;
  };
  const auto rows = shape.element == ElementType::kBf16 ? pick.template operator()<ElementType::kBf16>()
                                                        : pick.template operator()<ElementType::kFp16>();
  rows(shape, table, reading, scales, values, cache);
  return true;
}

#else

bool rans_rows(const FrameShape&, const RansLookup&, RansReading&, const uint8_t*, uint8_t*, ScaleCache&,
               bool) {
  return false;
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace shadowserve {
HWY_EXPORT(rans_rows);

bool rans_rows_simd(const FrameShape& shape, const RansLookup& table, RansReading& reading,
                    const uint8_t* scales, uint8_t* values, ScaleCache& cache, bool stream) {
  return HWY_DYNAMIC_DISPATCH(rans_rows)(shape, table, reading, scales, values, cache, stream);
}
}  // namespace shadowserve
#endif  // HWY_ONCE
