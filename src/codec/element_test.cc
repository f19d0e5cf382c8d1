// Conversions between 16-bit elements and float, exhaustively over the 16-bit side.
#include "codec/element.h"

#include <gtest/gtest.h>

namespace shadowserve::element {
namespace {

TEST(Element, EveryFiniteElementSurvives) {
  for (const ElementType type : {ElementType::kBf16, ElementType::kFp16}) {
    const uint32_t end = type == ElementType::kBf16 ? 0x7f80 : 0x7c00;
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
      if ((bits & 0x7fff) >= end) continue;
      const auto element = static_cast<uint16_t>(bits);
      ASSERT_EQ(from_float(to_float(element, type), type), element) << std::hex << bits;
    }
  }
}

TEST(Element, KnownHalves) {
  EXPECT_EQ(from_fp16(0x3c00), 1.0f);
  EXPECT_EQ(from_fp16(0x0001), 0x1p-24f);
  EXPECT_EQ(from_fp16(0x03ff), 1023 * 0x1p-24f);
  EXPECT_EQ(from_fp16(0xfbff), -65504.0f);
  EXPECT_EQ(to_fp16(65520.0f), 0x7bff);  // saturates
  EXPECT_EQ(to_fp16(-1e30f), 0xfbff);
}

/// Halfway between neighbours goes to the even one, and anything beyond half to the nearer.
TEST(Element, RoundsToNearestEven) {
  for (const ElementType type : {ElementType::kBf16, ElementType::kFp16}) {
    const uint32_t end = type == ElementType::kBf16 ? 0x7f7f : 0x7bff;
    for (uint32_t bits = 0; bits < end; ++bits) {
      const auto low = static_cast<uint16_t>(bits), high = static_cast<uint16_t>(bits + 1);
      const float low_value = to_float(low, type), high_value = to_float(high, type);
      const float middle = low_value / 2 + high_value / 2;
      const uint16_t even = bits % 2 == 0 ? low : high;
      ASSERT_EQ(from_float(middle, type), even) << std::hex << bits;
      ASSERT_EQ(from_float(-middle, type), even | 0x8000) << std::hex << bits;
      ASSERT_EQ(from_float(std::nextafter(middle, 0.0f), type), low) << std::hex << bits;
      ASSERT_EQ(from_float(std::nextafter(middle, INFINITY), type), high) << std::hex << bits;
    }
  }
}

TEST(Element, OrderFollowsValues) {
  for (const ElementType type : {ElementType::kBf16, ElementType::kFp16}) {
    uint16_t before = type == ElementType::kBf16 ? 0xff7f : 0xfbff;
    while (before != 0x7b00) {
      const uint16_t after = from_ordered(static_cast<int16_t>(ordered(before) + 1));
      ASSERT_LE(to_float(before, type), to_float(after, type));
      before = after;
    }
  }
}

TEST(Element, ScalesCoverTheirRange) {
  for (uint32_t bits = 0; bits < 0x7b00; bits += 7) {
    const auto magnitude = static_cast<uint16_t>(bits);
    for (const uint32_t zero : {7u, 15u, 127u}) {
      const float reach =
          from_bf16(token_scale(magnitude, zero, ElementType::kBf16)) * static_cast<float>(zero);
      ASSERT_GE(reach, from_bf16(magnitude) * (1 - 1e-6f));
      ASSERT_LT(token_scale(magnitude, zero, ElementType::kBf16), 0x7B00);
    }
    const StepMin scale = step_min(magnitude | 0x8000, magnitude, 16, ElementType::kBf16);
    ASSERT_GE(from_bf16(scale.min) + 15 * from_bf16(scale.step), from_bf16(magnitude) * (1 - 1e-6f));
    ASSERT_LT(scale.step, 0x7B00);
  }
}

}  // namespace
}  // namespace shadowserve::element
