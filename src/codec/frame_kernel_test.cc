// Every SIMD target this machine has against the scalar oracle, byte for byte, with guards around each
// buffer.
#include "codec/frame_kernel.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "chunk/record_frames.h"
#include "codec/element.h"
#include "hwy/highway.h"

namespace shadowserve {
namespace {

constexpr size_t kGuard = 64;
constexpr uint8_t kGuardByte = 0xa5;

/// A buffer in the middle of guard bytes, at an odd address.
struct Guarded {
  explicit Guarded(size_t bytes) : size(bytes), all(bytes + 2 * kGuard + 1, kGuardByte) {}
  uint8_t* data() { return all.data() + kGuard + 1; }
  std::vector<uint8_t> content() const {
    return {all.begin() + kGuard + 1, all.begin() + static_cast<ptrdiff_t>(kGuard + 1 + size)};
  }
  bool intact() const {
    for (size_t i = 0; i < all.size(); ++i) {
      const bool inside = i > kGuard && i <= kGuard + size;
      if (!inside && all[i] != kGuardByte) return false;
    }
    return true;
  }
  size_t size;
  std::vector<uint8_t> all;
};

struct Sizes {
  size_t values, symbols, scales;
};

Sizes sizes_of(const FrameShape& shape) {
  const size_t groups = shape.quantizer == QuantizerId::kChannelAsym
                            ? (shape.tokens + shape.group_tokens - 1) / shape.group_tokens
                            : 0;
  const size_t scales = shape.quantizer == QuantizerId::kRaw ? 0
                        : shape.quantizer == QuantizerId::kTokenSym
                            ? shape.channels / shape.group_channels * size_t{shape.tokens} * 2
                            : groups * shape.channels * 4;
  return {shape.tokens * shape.channels * element_bytes(shape.element),
          shape.tokens * symbol_row_bytes(shape.packing, shape.channels, shape.element), scales};
}

std::vector<FrameShape> shapes() {
  std::vector<FrameShape> all;
  struct Size {
    uint32_t tokens, channels, group_tokens, group_channels;
  };
  const Size sizes[] = {{1, 1, 1, 1},      {3, 32, 2, 32},    {17, 33, 5, 11},    {8, 256, 8, 64},
                        {5, 1000, 4, 125}, {2, 2600, 128, 8}, {20, 1025, 7, 205}, {4, 96, 128, 96}};
  for (const Size& size : sizes) {
    for (const ElementType element : {ElementType::kFp8E4M3, ElementType::kFp8E5M2})
      all.push_back({QuantizerId::kRaw, PackingId::kElements, element, 0, size.tokens, size.channels, 0, 0});
    for (const ElementType element : {ElementType::kBf16, ElementType::kFp16}) {
      for (const PackingId packing : {PackingId::kElements, PackingId::kSplit}) {
        all.push_back({QuantizerId::kRaw, packing, element, 0, size.tokens, size.channels, 0, 0});
      }
      for (const uint32_t levels : {3u, 15u, 31u, 255u}) {
        const PackingId packing = levels <= 16 ? PackingId::kNibbles : PackingId::kBytes;
        all.push_back({QuantizerId::kTokenSym, packing, element, levels, size.tokens, size.channels, 0,
                       size.group_channels});
      }
      for (const uint32_t levels : {2u, 13u, 16u, 200u}) {
        const PackingId packing = levels <= 16 ? PackingId::kNibbles : PackingId::kBytes;
        all.push_back({QuantizerId::kChannelAsym, packing, element, levels, size.tokens, size.channels,
                       size.group_tokens, 0});
      }
    }
  }
  return all;
}

/// Values of all magnitudes (exponents below the limit), or close together so that ties and edges are hit.
void fill_values(const FrameShape& shape, std::mt19937& random, uint8_t* values, bool wild) {
  for (size_t i = 0; i < size_t{shape.tokens} * shape.channels; ++i) {
    auto bits = static_cast<uint16_t>(random());
    if (element_bytes(shape.element) == 1) {
      values[i] = static_cast<uint8_t>(bits);
      continue;
    }
    if (!wild) {
      bits = element::from_float((static_cast<float>(random() % 512) - 200.0f) / 32.0f, shape.element);
    } else if (shape.quantizer != QuantizerId::kRaw) {
      while ((bits & 0x7fff) >= element::magnitude_end(shape.element)) bits = static_cast<uint16_t>(random());
    }
    std::memcpy(values + 2 * i, &bits, 2);
  }
}

void compare(const FrameShape& shape, uint32_t seed) {
  const Sizes sizes = sizes_of(shape);
  std::mt19937 random(seed);
  Guarded values(sizes.values), symbols(sizes.symbols), scales(sizes.scales), symbols_simd(sizes.symbols),
      scales_simd(sizes.scales), back(sizes.values), back_simd(sizes.values);
  fill_values(shape, random, values.data(), seed % 2 == 0);
  ASSERT_EQ(largest_magnitude_oracle(values.data(), sizes.values / 2),
            largest_magnitude_simd(values.data(), sizes.values / 2));
  quantize_frame_oracle(shape, values.data(), symbols.data(), scales.data());
  quantize_frame_simd(shape, values.data(), symbols_simd.data(), scales_simd.data());
  ASSERT_EQ(scales.content(), scales_simd.content());
  ASSERT_EQ(symbols.content(), symbols_simd.content());
  // Hostile symbols and scales, too: whatever open_record() lets through.
  if (seed % 3 == 0) {
    for (size_t i = 0; i < sizes.symbols; ++i) symbols.data()[i] = static_cast<uint8_t>(random());
    for (size_t i = 0; i < sizes.scales; i += 2) {
      const auto bits = static_cast<uint16_t>(random() % kScaleBitsEnd);
      std::memcpy(scales.data() + i, &bits, 2);
    }
  }
  dequantize_frame_oracle(shape, symbols.data(), scales.data(), back.data());
  dequantize_frame_simd(shape, symbols.data(), scales.data(), back_simd.data());
  ASSERT_EQ(back.content(), back_simd.content());
  for (const Guarded* buffer : {&symbols_simd, &scales_simd, &back_simd}) ASSERT_TRUE(buffer->intact());
}

TEST(FrameKernel, EveryTargetMatchesTheOracle) {
  const auto targets = hwy::SupportedAndGeneratedTargets();
  ASSERT_FALSE(targets.empty());
  std::string names;
  for (const int64_t target : targets) names += std::string(hwy::TargetName(target)) + " ";
  RecordProperty("targets", names);
  for (const int64_t target : targets) {
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    for (const FrameShape& shape : shapes()) {
      for (uint32_t seed = 0; seed < 6; ++seed) {
        compare(shape, seed);
        ASSERT_FALSE(HasFatalFailure())
            << "quantizer " << int(shape.quantizer) << " levels " << shape.levels << " " << shape.tokens
            << "x" << shape.channels << " element " << int(shape.element) << " seed " << seed;
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

}  // namespace
}  // namespace shadowserve
