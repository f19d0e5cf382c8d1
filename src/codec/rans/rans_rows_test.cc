// Rows decoded and dequantized in registers against the coder's and the dequantizer's scalar oracles.
#include "codec/rans/rans_rows.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "codec/rans/rans_frame.h"
#include "hwy/highway.h"

namespace shadowserve {
namespace {

/// What scales can be: everyday ones, zeros, subnormal and tiny ones, and up to what open_record() lets
/// through.
enum class Scales { kUsual, kTiny, kAny };

std::vector<uint8_t> scales_of(const FrameShape& shape, Scales kind, std::mt19937& random) {
  const bool sym = shape.quantizer == QuantizerId::kTokenSym;
  const size_t groups = sym ? size_t{shape.tokens} * (shape.channels / shape.group_channels)
                            : (shape.tokens + shape.group_tokens - 1) / shape.group_tokens;
  std::vector<uint8_t> scales(groups * (sym ? 2 : size_t{4} * shape.channels));
  for (size_t i = 0; i < scales.size() / 2; ++i) {
    const bool minimum = !sym && i / shape.channels % 2 == 1;
    uint16_t bits = static_cast<uint16_t>(kind == Scales::kUsual  ? 0x3c00 + random() % 0x400
                                          : kind == Scales::kTiny ? random() % 0x900
                                                                  : random() % kScaleBitsEnd);
    if (random() % 16 == 0) bits = 0;
    if (minimum && random() % 2 == 0) bits |= 0x8000;
    std::memcpy(scales.data() + 2 * i, &bits, sizeof bits);
  }
  return scales;
}

std::vector<uint8_t> symbols_of(const FrameShape& shape, double wild, std::mt19937& random) {
  std::normal_distribution<double> normal(shape.levels / 2.0, shape.levels / 6.0);
  std::bernoulli_distribution is_wild(wild);
  std::vector<uint8_t> symbols(size_t{shape.tokens} * shape.channels);
  for (auto& symbol : symbols) {
    symbol = static_cast<uint8_t>(is_wild(random) ? random()
                                                  : static_cast<unsigned>(std::max(0.0, normal(random))));
  }
  return symbols;
}

/// False where there is no kernel. The destination is off by `shift` bytes from a cache line.
bool compare(const FrameShape& shape, Scales kind, double wild, size_t shift, uint32_t seed) {
  std::mt19937 random(seed);
  const auto symbols = symbols_of(shape, wild, random);
  const auto scales = scales_of(shape, kind, random);
  std::vector<std::byte> coded(symbols.size() * 2 + 1024);
  const auto size = write_rans_frame(std::as_bytes(std::span(symbols)), coded);
  EXPECT_TRUE(size);
  coded.resize(size.value_or(0));
  std::vector<uint8_t> expected(symbols.size() * 2), room(symbols.size() * 2 + 192, 0xa5);
  dequantize_frame_oracle(shape, symbols.data(), scales.data(), expected.data());
  uint8_t* const values = room.data() + 64 - reinterpret_cast<uintptr_t>(room.data()) % 64 + shift;
  RansReader reader;
  ScaleCache cache;
  EXPECT_TRUE(reader.open(coded, symbols.size()));
  if (!reader.read_rows(shape, scales.data(), values, cache, /*stream=*/true)) return false;
  finish_streaming();
  EXPECT_TRUE(reader.finish());
  EXPECT_EQ(std::vector<uint8_t>(values, values + expected.size()), expected)
      << "levels " << shape.levels << " channels " << shape.channels << " scales " << int(kind) << " seed "
      << seed;
  for (uint8_t* byte = room.data(); byte != room.data() + room.size(); ++byte) {
    EXPECT_TRUE((byte >= values && byte < values + expected.size()) || *byte == 0xa5);
  }
  return true;
}

TEST(RansRows, GiveWhatTheTwoStepsGive) {
  bool there = false;
  uint32_t seed = 0;
  for (const ElementType element : {ElementType::kBf16, ElementType::kFp16}) {
    for (const Scales kind : {Scales::kUsual, Scales::kTiny, Scales::kAny}) {
      for (const double wild : {0.0, 0.01}) {
        for (const uint32_t tokens : {1u, 7u, 40u}) {
          for (const uint32_t channels : {128u, 256u, 1024u}) {
            for (const uint32_t levels : {3u, 15u, 31u}) {
              const FrameShape sym{QuantizerId::kTokenSym,
                                   PackingId::kBytes,
                                   element,
                                   levels,
                                   tokens,
                                   channels,
                                   0,
                                   channels / (channels > 256 ? 4 : 1)};
              there |= compare(sym, kind, wild, tokens == 7 ? 2 : 0, ++seed);
            }
            for (const uint32_t levels : {2u, 16u, 32u}) {
              const FrameShape asym{
                  QuantizerId::kChannelAsym, PackingId::kBytes, element, levels, tokens, channels, 16, 0};
              there |= compare(asym, kind, wild, tokens == 7 ? 2 : 0, ++seed);
            }
          }
        }
        ASSERT_FALSE(HasFailure());
      }
    }
  }
  if (!there) GTEST_SKIP() << "this processor has no such kernel";
}

TEST(RansRows, LeaveOtherShapesToTheTwoSteps) {
  const FrameShape narrow{QuantizerId::kTokenSym, PackingId::kBytes, ElementType::kBf16, 15, 8, 96, 0, 96};
  EXPECT_FALSE(compare(narrow, Scales::kUsual, 0, 0, 1));
}

}  // namespace
}  // namespace shadowserve
