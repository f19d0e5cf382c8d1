// The calibrated kernels for every SIMD target, chosen at run time.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "codec/calibrated/calibrated_kernel.h"
#include "codec/element.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/calibrated/calibrated_simd.cc"
#include "hwy/foreach_target.h"  // before highway.h: includes this file once a target

#include "codec/calibrated/calibrated_avx512-inl.h"
#include "codec/calibrated/turn_at-inl.h"
#include "codec/element_simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {

// In a rotation a product is rounded, and the other one added with one rounding: targets that cannot do that
// leave everything to the oracle.
#undef SHADOWSERVE_FUSES
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SSE4
#define SHADOWSERVE_FUSES 0
#else
#define SHADOWSERVE_FUSES 1
#endif

/// One pair of channels at a time, for pairs that are neighbours and heads that are no whole vectors.
template <bool kBack>
void turn_pairs(const KeyTurns& turns, const float* cosines, const float* sines, size_t first, size_t a_step,
                size_t b_ahead, float* head) {
  for (size_t pair = first; pair < turns.pairs(); ++pair) {
    float &a = head[pair * a_step], &b = head[pair * a_step + b_ahead];
    const float cos = cosines[pair], sin = kBack ? -sines[pair] : sines[pair];
    const float bs = b * sin, as = a * sin;
    a = std::fma(a, cos, -bs);
    b = std::fma(b, cos, as);
  }
}

template <bool kBack>
void turn_heads(const CalibratedPlane& plane, const float* cosines, const float* sines, float* row) {
  const F32 df;
  const size_t pairs = plane.turns->pairs(), lanes = hn::Lanes(df);
  const bool halves = plane.turns->pairing() == RotationPairing::kHalves;
  const size_t whole = halves ? pairs / lanes * lanes : 0;
  for (float* head = row; head < row + plane.channels; head += plane.head_dim) {
    for (size_t i = 0; i < whole; i += lanes) {
      const auto a = hn::LoadU(df, head + i), b = hn::LoadU(df, head + pairs + i);
      const auto cos = hn::LoadU(df, cosines + i);
      auto sin = hn::LoadU(df, sines + i);
      if constexpr (kBack) sin = hn::Neg(sin);
      hn::StoreU(hn::MulSub(a, cos, hn::Mul(b, sin)), df, head + i);
      hn::StoreU(hn::MulAdd(b, cos, hn::Mul(a, sin)), df, head + pairs + i);
    }
    if (whole < pairs)
      turn_pairs<kBack>(*plane.turns, cosines, sines, whole, halves ? 1 : 2, halves ? pairs : 1, head);
  }
}

/// Symbols of a row, from the order of places to that of channels.
HWY_INLINE void order_by_channel(const CalibratedPlane& plane, const uint8_t* row, uint8_t* by_channel) {
  size_t done = 0;
#if HWY_ARCH_ARM_A64 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  // 128 places are eight registers, in which 16 channels are looked up at once.
  constexpr uint8_t kOwnBit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  constexpr uint32_t kReachesMax = 4;  // more take longer than one by one
  const uint8x16_t own_bit = vld1q_u8(kOwnBit);
  for (const BlockLookup& lookup : plane.lookups) {
    if (lookup.reaches > kReachesMax) break;
    const uint8_t* from = row + lookup.window;
    for (size_t reach = 0; reach < lookup.reaches; ++reach, from += 128) {
      const uint8x16x4_t low = vld1q_u8_x4(from), high = vld1q_u8_x4(from + 64);
      const uint64_t here = plane.lookup_masks[lookup.masks + reach];
      for (size_t i = 0; i < 4; ++i) {
        const uint8x16_t place = vld1q_u8(plane.lookup_places.data() + done + 16 * i);
        const uint8x16_t symbols = vqtbx4q_u8(vqtbl4q_u8(low, place), high, vsubq_u8(place, vdupq_n_u8(64)));
        const uint8x8_t bits = vreinterpret_u8_u64(vdup_n_u64(here >> 16 * i));
        const uint8x16_t taken = vtstq_u8(vcombine_u8(vdup_lane_u8(bits, 0), vdup_lane_u8(bits, 1)), own_bit);
        uint8_t* const to = by_channel + done + 16 * i;
        vst1q_u8(to, reach == 0 ? symbols : vbslq_u8(taken, symbols, vld1q_u8(to)));
      }
    }
    done += 64;
  }
#endif
  for (; done < plane.channels; ++done) by_channel[done] = row[plane.places[done]];
}

/// Symbols of a row, by channel, to floats.
HWY_INLINE void row_values(const CalibratedPlane& plane, const uint8_t* symbols, float* row) {
  const F32 df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= plane.channels; i += lanes) {
    const auto symbol = hn::ConvertTo(df, hn::PromoteTo(I32(), hn::LoadU(U8Quarter(), symbols + i)));
    const auto steps = hn::Mul(symbol, hn::LoadU(df, plane.steps.data() + i));
    hn::StoreU(hn::Add(steps, hn::LoadU(df, plane.offsets.data() + i)), df, row + i);
  }
  for (; i < plane.channels; ++i) {
    const float steps = static_cast<float>(symbols[i]) * plane.steps[i];
    row[i] = steps + plane.offsets[i];
  }
}

/// Zeros in the place of subnormals, as instructions that narrow to bf16 have it.
HWY_INLINE VF32 without_subnormals(VF32 value) {
  const F32 df;
  const auto sign = hn::And(value, hn::SignBit(df));
  return hn::IfThenElse(hn::Lt(hn::Abs(value), hn::Set(df, 0x1p-126f)), sign, value);
}

template <ElementType kType, bool kStream>
HWY_INLINE void narrow_row(const float* row, size_t channels, uint8_t* values) {
  size_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const F32 df;
  const size_t lanes = hn::Lanes(df);
  for (; i + 2 * lanes <= channels; i += 2 * lanes) {
    const auto low = without_subnormals(hn::LoadU(df, row + i));
    const auto high = without_subnormals(hn::LoadU(df, row + i + lanes));
    put<kStream>(narrow_both<kType>(low, high), values + 2 * i);
  }
#endif
  for (; i < channels; ++i) {
    const float value = std::abs(row[i]) < 0x1p-126f ? std::copysign(0.0f, row[i]) : row[i];
    const uint16_t bits = element::from_float(value, kType);
    std::memcpy(values + 2 * i, &bits, sizeof bits);
  }
}

template <ElementType kType, bool kStream>
void dequantize_rows(const CalibratedPlane& plane, uint32_t tokens, const TurnRows& turns,
                     const uint8_t* symbols, uint8_t* values) {
  HWY_ALIGN float row[CalibratedModel::kChannelsMax];
  HWY_ALIGN uint8_t by_channel[CalibratedModel::kChannelsMax + kRegionSlack];
  for (uint32_t t = 0; t < tokens;
       ++t, symbols += plane.channels, values += size_t{plane.channels} * kElementBytes) {
    order_by_channel(plane, symbols, by_channel);
    row_values(plane, by_channel, row);
    if (plane.turns != nullptr)
      turn_heads<false>(plane, turns.cos + t * turns.stride, turns.sin + t * turns.stride, row);
    narrow_row<kType, kStream>(row, plane.channels, values);
  }
}

void dequantize(const CalibratedPlane& plane, uint32_t tokens, const TurnRows& turns, const uint8_t* symbols,
                uint8_t* values, bool stream) {
#if !SHADOWSERVE_FUSES
  return dequantize_calibrated_oracle(plane, tokens, turns, symbols, values);
#endif
  if (dequantize_blocks(plane, tokens, turns, symbols, values, stream)) return;
  const bool past_caches =
      stream && reinterpret_cast<uintptr_t>(values) % 64 == 0 && plane.channels * kElementBytes % 64 == 0;
  const auto pick = [past_caches]<ElementType kType>() {
    return past_caches ? dequantize_rows<kType, true> : dequantize_rows<kType, false>;
  };
  const auto rows = plane.element == ElementType::kBf16 ? pick.template operator()<ElementType::kBf16>()
                                                        : pick.template operator()<ElementType::kFp16>();
  rows(plane, tokens, turns, symbols, values);
}

template <ElementType kType>
HWY_INLINE void widen_row(const uint8_t* values, size_t channels, float* row) {
  const F32 df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= channels; i += lanes)
    hn::StoreU(widen<kType>(hn::LoadU(U16Half(), as16(values + 2 * i))), df, row + i);
  for (; i < channels; ++i) {
    uint16_t bits;
    std::memcpy(&bits, values + 2 * i, sizeof bits);
    row[i] = element::to_float(bits, kType);
  }
}

/// Sums in 16 lanes whatever the vectors' length: the order of the oracle.
float cosine_with(std::span<const float> direction, const float* row) {
  float along[16] = {}, squares[16] = {};
  size_t i = 0;
  for (; i + 16 <= direction.size(); i += 16) {
    for (size_t lane = 0; lane < 16; ++lane) {
      const float product = row[i + lane] * direction[i + lane], square = row[i + lane] * row[i + lane];
      along[lane] += product;
      squares[lane] += square;
    }
  }
  for (size_t lane = 0; i < direction.size(); ++i, ++lane) {
    const float product = row[i] * direction[i], square = row[i] * row[i];
    along[lane] += product;
    squares[lane] += square;
  }
  float sum = 0, length = 0;
  for (int lane = 0; lane < 16; ++lane) {
    sum += along[lane];
    length += squares[lane];
  }
  return length > 0 ? sum / std::sqrt(length) : 0;
}

/// Numbers of steps as symbols. True when one had none.
HWY_INLINE bool row_symbols(const CalibratedPlane& plane, const float* row, uint8_t* symbols, uint8_t* wide) {
  const F32 df;
  const size_t lanes = hn::Lanes(df);
  const auto most = hn::Set(I32(), kStepsMax), least = hn::Set(I32(), -kStepsMax);
  const auto bound = hn::Set(df, 128.0f);
  auto odd = hn::Zero(I32());
  size_t i = 0;
  for (; i + lanes <= plane.channels; i += lanes) {
    const auto above = hn::Sub(hn::LoadU(df, row + i), hn::LoadU(df, plane.means.data() + i));
    const auto steps = hn::Div(above, hn::LoadU(df, plane.steps.data() + i));
    const auto number = nearest_int(hn::Max(hn::Min(steps, bound), hn::Neg(bound)));
    const auto kept = hn::Max(hn::Min(number, most), least);
    odd = hn::Or(odd, hn::Xor(kept, number));
    // TruncateTo() of Highway 1.0.3 is wrong for these lanes on one target; nothing saturates here.
    hn::StoreU(hn::DemoteTo(U8Quarter(), hn::Add(kept, hn::Set(I32(), kZeroSymbol))), U8Quarter(),
               symbols + i);
  }
  bool any = !hn::AllTrue(I32(), hn::Eq(odd, hn::Zero(I32())));
  for (; i < plane.channels; ++i) {
    const float steps = (row[i] - plane.means[i]) / plane.steps[i];
    const auto number = static_cast<int32_t>(std::lrintf(std::clamp(steps, -128.0f, 128.0f)));
    symbols[i] = static_cast<uint8_t>(std::clamp(number, -kStepsMax, kStepsMax) + kZeroSymbol);
    any |= number != std::clamp(number, -kStepsMax, kStepsMax);
  }
  std::memset(wide, 0, (plane.channels + 7) / 8);
  if (!any) return false;
  for (i = 0; i < plane.channels; ++i) {  // rare: looked for again, one by one
    const float steps = (row[i] - plane.means[i]) / plane.steps[i];
    const auto number = static_cast<int32_t>(std::lrintf(std::clamp(steps, -128.0f, 128.0f)));
    if (number < -kStepsMax || number > kStepsMax) wide[i / 8] |= static_cast<uint8_t>(1u << i % 8);
  }
  return true;
}

void quantize(const CalibratedPlane& plane, uint32_t token, const Turn& chunk, const uint8_t* values,
              QuantizedRow& out) {
#if !SHADOWSERVE_FUSES
  return quantize_calibrated_oracle(plane, token, chunk, values, out);
#endif
  HWY_ALIGN float row[CalibratedModel::kChannelsMax];
  if (plane.element == ElementType::kBf16) {
    widen_row<ElementType::kBf16>(values, plane.channels, row);
  } else {
    widen_row<ElementType::kFp16>(values, plane.channels, row);
  }
  if (plane.turns != nullptr) {
    Turn turn;
    turn_at(*plane.turns, chunk, token, turn.cos.data(), turn.sin.data());
    turn_heads<true>(plane, turn.cos.data(), turn.sin.data(), row);
  }
  out.cosine = cosine_with(plane.sink_key, row);
  out.any_wide = row_symbols(plane, row, out.symbols, out.wide);
}

void fill_turns(const KeyTurns& turns, const Turn& chunk, uint32_t first, uint32_t count, float* cos,
                float* sin) {
#if !SHADOWSERVE_FUSES
  return fill_turns_oracle(turns, chunk, first, count, cos, sin);
#endif
  for (uint32_t token = 0; token < count; ++token)
    turn_at(turns, chunk, first + token, cos + token * turns.stride(), sin + token * turns.stride());
}

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace shadowserve {
HWY_EXPORT(dequantize);
HWY_EXPORT(quantize);
HWY_EXPORT(fill_turns);

void dequantize_calibrated_simd(const CalibratedPlane& plane, uint32_t tokens, const TurnRows& turns,
                                const uint8_t* symbols, uint8_t* values, bool stream) {
  HWY_DYNAMIC_DISPATCH(dequantize)(plane, tokens, turns, symbols, values, stream);
}
void quantize_calibrated_simd(const CalibratedPlane& plane, uint32_t token, const Turn& chunk,
                              const uint8_t* values, QuantizedRow& row) {
  HWY_DYNAMIC_DISPATCH(quantize)(plane, token, chunk, values, row);
}
void fill_turns_simd(const KeyTurns& turns, const Turn& chunk, uint32_t first, uint32_t count, float* cos,
                     float* sin) {
  HWY_DYNAMIC_DISPATCH(fill_turns)(turns, chunk, first, count, cos, sin);
}
}  // namespace shadowserve
#endif  // HWY_ONCE
