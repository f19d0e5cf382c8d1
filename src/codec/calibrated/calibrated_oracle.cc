// The scalar oracle of the calibrated kernels: written to be read, and what every SIMD target is compared
// with.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "chunk/bits16.h"
#include "codec/calibrated/calibrated_kernel.h"
#include "codec/element.h"

namespace shadowserve {
namespace {

/// Turns the keys of all heads of one token, by the angles or back.
void turn_row(const CalibratedPlane& plane, const float* cosines, const float* sines, bool back, float* row) {
  if (plane.turns == nullptr) return;
  const uint32_t pairs = plane.turns->pairs();
  const bool halves = plane.turns->pairing() == RotationPairing::kHalves;
  for (uint32_t head = 0; head < plane.channels; head += plane.head_dim) {
    for (uint32_t pair = 0; pair < pairs; ++pair) {
      float& a = row[head + (halves ? pair : 2 * pair)];
      float& b = row[head + (halves ? pair + pairs : 2 * pair + 1)];
      const float cos = cosines[pair], sin = back ? -sines[pair] : sines[pair];
      const float bs = b * sin, as = a * sin;
      a = std::fma(a, cos, -bs);
      b = std::fma(b, cos, as);
    }
  }
}

/// Instructions that narrow to bf16 make zeros of them.
float without_subnormals(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value;
}

/// The same order of sums as in vectors of 16.
float cosine_with(std::span<const float> direction, const float* row) {
  float along[16] = {}, squares[16] = {};
  for (size_t i = 0; i < direction.size(); ++i) {
    const float product = row[i] * direction[i], square = row[i] * row[i];
    along[i % 16] += product;
    squares[i % 16] += square;
  }
  float sum = 0, length = 0;
  for (int lane = 0; lane < 16; ++lane) {
    sum += along[lane];
    length += squares[lane];
  }
  return length > 0 ? sum / std::sqrt(length) : 0;
}

}  // namespace

void dequantize_calibrated_oracle(const CalibratedPlane& plane, uint32_t tokens, const TurnRows& turns,
                                  const uint8_t* symbols, uint8_t* values) {
  float row[CalibratedModel::kChannelsMax];
  for (uint32_t t = 0; t < tokens; ++t) {
    for (uint32_t channel = 0; channel < plane.channels; ++channel) {
      const auto symbol = static_cast<float>(symbols[size_t{t} * plane.channels + plane.places[channel]]);
      row[channel] = symbol * plane.steps[channel] + plane.offsets[channel];
    }
    turn_row(plane, turns.cos + t * turns.stride, turns.sin + t * turns.stride, false, row);
    for (uint32_t channel = 0; channel < plane.channels; ++channel) {
      const uint16_t bits = element::from_float(without_subnormals(row[channel]), plane.element);
      std::memcpy(values + (size_t{t} * plane.channels + channel) * kElementBytes, &bits, sizeof bits);
    }
  }
}

void quantize_calibrated_oracle(const CalibratedPlane& plane, uint32_t token, const Turn& chunk,
                                const uint8_t* values, QuantizedRow& out) {
  float row[CalibratedModel::kChannelsMax];
  for (uint32_t channel = 0; channel < plane.channels; ++channel)
    row[channel] = element::to_float(load16(values, channel), plane.element);
  if (plane.turns != nullptr) {
    Turn turn;
    plane.turns->at_token(chunk, token, turn);
    turn_row(plane, turn.cos.data(), turn.sin.data(), true, row);
  }
  out.cosine = cosine_with(plane.sink_key, row);
  out.any_wide = false;
  std::memset(out.wide, 0, (plane.channels + 7) / 8);
  for (uint32_t channel = 0; channel < plane.channels; ++channel) {
    const float steps = (row[channel] - plane.means[channel]) / plane.steps[channel];
    const float bounded = std::clamp(steps, -128.0f, 128.0f);
    const auto number = static_cast<int32_t>(std::lrintf(bounded));
    const int32_t kept = std::clamp(number, -kStepsMax, kStepsMax);
    out.symbols[channel] = static_cast<uint8_t>(kept + kZeroSymbol);
    if (kept == number) continue;
    out.wide[channel / 8] |= static_cast<uint8_t>(1u << channel % 8);
    out.any_wide = true;
  }
}

}  // namespace shadowserve
