// Floats to elements and elements to memory, 32 at a time, on processors with AVX-512.
#if defined(SHADOWSERVE_NARROW_AVX512_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef SHADOWSERVE_NARROW_AVX512_INL
#undef SHADOWSERVE_NARROW_AVX512_INL
#else
#define SHADOWSERVE_NARROW_AVX512_INL
#endif

#include <cstddef>
#include <cstdint>

#include "chunk/kv_geometry.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

HWY_INLINE bool has_bf16_narrowing() { return __builtin_cpu_supports("avx512bf16") != 0; }

/// low and high, each 16 floats, to 32 bf16 in order; subnormals become zeros. REQUIRES has_bf16_narrowing().
HWY_INLINE __m512i narrow_bf16_plain(__m512 low, __m512 high) {
  __m512i narrowed;
  // Not an intrinsic, because Highway's targets do not switch this extension on.
  asm("vcvtne2ps2bf16 %2, %1, %0" : "=v"(narrowed) : "v"(high), "v"(low));
  return narrowed;
}

HWY_INLINE __m512i rounded_bf16(__m512 value) {
  const __m512i bits = _mm512_castps_si512(value);
  const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  const __m512i down = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  return _mm512_mask_add_epi32(down, odd, down, _mm512_set1_epi32(1));
}

/// `kPlain`: results need no care: no bf16 is subnormal, or zero is as good; no fp16 overflows.
template <ElementType kType, bool kPlain>
HWY_INLINE __m512i narrow_32(__m512 low, __m512 high) {
  if constexpr (kType == ElementType::kBf16 && kPlain) return narrow_bf16_plain(low, high);
  if constexpr (kType == ElementType::kBf16) {
    const __m512i upper_halves =
        _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23,
                         21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_epi16(rounded_bf16(low), upper_halves, rounded_bf16(high));
  }
  if constexpr (!kPlain) {
    const __m512 largest = _mm512_set1_ps(65504.0f), least = _mm512_set1_ps(-65504.0f);
    low = _mm512_min_ps(_mm512_max_ps(low, least), largest);
    high = _mm512_min_ps(_mm512_max_ps(high, least), largest);
  }
  const __m256i first = _mm512_cvtps_ph(low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256i second = _mm512_cvtps_ph(high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
}

template <bool kStream>
HWY_INLINE void put_32(__m512i elements, uint8_t* values) {
  if constexpr (kStream) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(values), elements);
  } else {
    _mm512_storeu_si512(values, elements);
  }
}

/// 16 of 64 symbols as floats.
template <int kQuarter>
HWY_INLINE __m512 quarter_as_float(__m512i symbols) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(symbols, kQuarter)));
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#endif
