// Made-up KV values for tests: a few wide channels, shifted ones, tokens of different strength.
#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "chunk/kv_geometry.h"
#include "codec/element.h"

namespace shadowserve {

/// Canonical values of one part; of one-byte elements, bytes that repeat as such values do (an e5m2 is the
/// high byte of an fp16). The same on every machine: integer arithmetic until the last rounding.
inline std::vector<std::byte> kv_sample(const PartShape& shape, uint32_t seed) {
  std::mt19937 random(seed);
  // The sum of four uniform numbers is bell-shaped enough, and unlike std::normal_distribution it is
  // portable.
  const auto bell = [&random] {
    int32_t sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<int32_t>(random() >> 20) - 2048;
    return static_cast<float>(sum) / 2048.0f;
  };
  const uint32_t channels = shape.geometry.channels();
  std::vector<float> width(channels), shift(channels);
  for (uint32_t c = 0; c < channels; ++c) {
    width[c] = static_cast<float>(1 + random() % 8) / 4.0f * (random() % 16 == 0 ? 16.0f : 1.0f);
    shift[c] = random() % 8 == 0 ? bell() * 8.0f : 0.0f;
  }
  std::vector<std::byte> bytes(shape.value_bytes());
  for (size_t i = 0; i < shape.values(); ++i) {
    const float value = bell() * width[i % channels] + shift[i % channels];
    if (shape.geometry.element_bytes() == 1) {
      bytes[i] = static_cast<std::byte>(element::to_fp16(value) >> 8);
      continue;
    }
    const uint16_t bits = element::from_float(value, shape.geometry.element);
    std::memcpy(bytes.data() + 2 * i, &bits, sizeof bits);
  }
  return bytes;
}

}  // namespace shadowserve
