// The arithmetic of the codec, one value at a time: the definition that every kernel must match bit for bit.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "chunk/kv_geometry.h"

// Why scalar code and every SIMD target agree: symbols have at most 8 significant bits and scales (bf16) have
// 8, so symbol * scale is exact in float and fusing it with the addition changes nothing; scales stay below
// 2^119 (kScaleBitsEnd), so nothing overflows; division, subtraction and addition are IEEE operations
// everywhere. Threads must not flush subnormals to zero.
namespace shadowserve::element {

inline float from_bf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

/// Exact for finite values. Subnormals come out right because the multiplication renormalizes them.
inline float from_fp16(uint16_t bits) {
  const float magnitude = std::bit_cast<float>(uint32_t{bits & 0x7fffu} << 13) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | uint32_t{bits & 0x8000u} << 16);
}

inline float to_float(uint16_t bits, ElementType type) {
  return type == ElementType::kBf16 ? from_bf16(bits) : from_fp16(bits);
}

/// Round to nearest, ties to even. REQUIRES finite.
inline uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/// Round to nearest, ties to even; saturates at the largest finite value, because a rounded scale may point
/// just beyond it.
inline uint16_t to_fp16(float value) {
  const float bounded = value > 65504.0f ? 65504.0f : value < -65504.0f ? -65504.0f : value;
  const auto bits = std::bit_cast<uint32_t>(bounded);
  const uint32_t magnitude = bits & 0x7fffffff;
  const uint32_t sign = (bits >> 16) & 0x8000;
  if (magnitude < 0x38800000) {  // subnormal: adding 0.5 puts the last kept bit at the end of the mantissa
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
  return static_cast<uint16_t>(sign | ((magnitude + 0xc8000fff + ((magnitude >> 13) & 1)) >> 13));
}

inline uint16_t from_float(float value, ElementType type) {
  return type == ElementType::kBf16 ? to_bf16(value) : to_fp16(value);
}

/// Smallest bf16 not below `value`. REQUIRES value >= 0 and below 2^127.
inline uint16_t bf16_above(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0xffff) >> 16);
}

/// Largest bf16 not above `value`. REQUIRES |value| below 2^127.
inline uint16_t bf16_below(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>(bits >> 31 ? (bits + 0xffff) >> 16 : bits >> 16);
}

/// Elements of either type in the order of their values, -0 before +0: an integer that SIMD can compare.
inline int16_t ordered(uint16_t bits) {
  const auto value = static_cast<int16_t>(bits);
  return static_cast<int16_t>(value ^ ((value >> 15) & 0x7fff));
}
inline uint16_t from_ordered(int16_t order) {
  return static_cast<uint16_t>(order ^ ((order >> 15) & 0x7fff));
}

/// Magnitudes from this one on cannot be quantized: NaN and infinity, and what would break kScaleBitsEnd.
inline uint16_t magnitude_end(ElementType type) {
  return type == ElementType::kBf16 ? uint16_t{0x7B00} : uint16_t{0x7C00};
}

struct StepMin {
  uint16_t step = 0;  // bf16
  uint16_t min = 0;   // bf16
};

/// kChannelAsym: the narrowest bf16 step and minimum whose levels cover [min, max] (element bits).
inline StepMin step_min(uint16_t min_bits, uint16_t max_bits, uint32_t levels, ElementType type) {
  const uint16_t min = bf16_below(to_float(min_bits, type));
  const float range = to_float(max_bits, type) - from_bf16(min);
  return {bf16_above(range / static_cast<float>(levels - 1)), min};
}

/// kTokenSym: the smallest bf16 scale at which `zero` steps reach the magnitude (element bits, sign clear).
inline uint16_t token_scale(uint16_t magnitude_bits, uint32_t zero, ElementType type) {
  return bf16_above(to_float(magnitude_bits, type) / static_cast<float>(zero));
}

/// What to divide by: a zero scale only ever meets zero values.
inline float divisor(uint16_t scale_bits) { return scale_bits == 0 ? 1.0f : from_bf16(scale_bits); }

inline uint8_t quantize_sym(float value, float divide_by, int32_t zero) {
  const auto nearest = static_cast<int32_t>(std::lrintf(value / divide_by));
  const int32_t bounded = nearest > zero ? zero : nearest < -zero ? -zero : nearest;
  return static_cast<uint8_t>(bounded + zero);
}

inline uint8_t quantize_asym(float value, float min, float divide_by, int32_t largest) {
  const auto nearest = static_cast<int32_t>(std::lrintf((value - min) / divide_by));
  return static_cast<uint8_t>(nearest > largest ? largest : nearest < 0 ? 0 : nearest);
}

/// REQUIRES symbol < levels: callers clamp.
inline float dequantize_sym(uint8_t symbol, float scale, int32_t zero) {
  return static_cast<float>(int32_t{symbol} - zero) * scale;
}

inline float dequantize_asym(uint8_t symbol, float step, float min) {
  return static_cast<float>(symbol) * step + min;
}

}  // namespace shadowserve::element
