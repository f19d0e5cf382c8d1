// Our Deflate writer and its codes: limits kept, blocks cut where it pays, sizes known exactly.
#include "codec/deflate/deflate_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "codec/deflate/code_lengths.h"
#include "codec/deflate/deflate_sample.h"
#include "codec/deflate/literal_table.h"

namespace shadowserve {
namespace {

uint64_t cost_of(std::span<const uint32_t> counts, std::span<const uint8_t> lengths) {
  uint64_t bits = 0;
  for (size_t i = 0; i < counts.size(); ++i) bits += uint64_t{counts[i]} * lengths[i];
  return bits;
}

TEST(CodeLengths, AreCompleteAndWithinTheLimit) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    const size_t symbols = 2 + random() % 287;
    std::vector<uint32_t> counts(symbols);
    const uint32_t steep = random() % 25;
    for (uint32_t& count : counts)
      count = random() % 3 == 0 ? 0 : 1 + (random() >> (7 + random() % (steep + 1)));
    counts[0] = counts[1] = 1;
    const uint32_t least_limit = static_cast<uint32_t>(std::ceil(std::log2(symbols)));
    const uint32_t limit = least_limit + random() % (16 - least_limit);
    std::vector<uint8_t> lengths(symbols), free(symbols);
    limited_code_lengths(counts, limit, lengths);
    uint32_t room = 0;
    for (size_t i = 0; i < symbols; ++i) {
      ASSERT_EQ(lengths[i] != 0, counts[i] != 0);
      ASSERT_LE(lengths[i], limit);
      if (lengths[i] != 0) room += 1u << (15 - lengths[i]);
    }
    ASSERT_EQ(room, 1u << 15);
    limited_code_lengths(counts, 15, free);
    ASSERT_LE(cost_of(counts, free), cost_of(counts, lengths));
    if (*std::max_element(free.begin(), free.end()) <= limit) {
      ASSERT_EQ(cost_of(counts, free), cost_of(counts, lengths));
    }
  }
}

TEST(CodeLengths, AreHuffmansWhereTheLimitIsFar) {
  const uint32_t counts[] = {45, 13, 12, 16, 9, 5};
  uint8_t lengths[6];
  limited_code_lengths(counts, 15, lengths);
  EXPECT_EQ(cost_of(counts, lengths), 224u);
  const uint32_t fibonacci[] = {1, 1, 2, 3, 5, 8, 13, 21};
  uint8_t deep[8];
  limited_code_lengths(fibonacci, 15, deep);
  EXPECT_EQ(deep[0], 7);
  limited_code_lengths(fibonacci, 3, deep);
  for (const uint8_t length : deep) EXPECT_EQ(length, 3);
}

TEST(CodeLengths, OneSymbolAndNone) {
  uint32_t counts[5] = {};
  uint8_t lengths[5] = {9, 9, 9, 9, 9};
  limited_code_lengths(counts, 7, lengths);
  for (const uint8_t length : lengths) EXPECT_EQ(length, 0);
  counts[3] = 12;
  limited_code_lengths(counts, 7, lengths);
  EXPECT_EQ(lengths[3], 1);
}

TEST(LiteralTable, AgreesWithTheCanonicalOrder) {
  std::mt19937 random(2);
  const auto code = std::make_unique<CanonicalCode>();
  ShortLiterals table;
  for (int round = 0; round < 300; ++round) {
    uint32_t counts[kSymbolCount];
    for (uint32_t& count : counts) count = random() % 4 == 0 ? 0 : 1 + (random() >> (8 + random() % 24));
    counts[0] = counts[kEndOfBlock] = 1;
    uint8_t lengths[kSymbolCount];
    limited_code_lengths(counts, 15, lengths);
    ASSERT_TRUE(build_literal_code(lengths, *code, table));
    for (uint32_t bits = 0; bits < 1u << 15; ++bits) {
      const DecodedSymbol symbol = decode_symbol(*code, bits);
      ASSERT_EQ(symbol.bits, lengths[symbol.symbol]);
      const bool is_short = symbol.bits <= kLiteralTableBits && symbol.symbol < kEndOfBlock;
      ASSERT_EQ(table[bits & kLiteralTableMask],
                is_short ? symbol.symbol << 8 | symbol.bits : kNoShortLiteral);
    }
    const auto victim = random() % kSymbolCount;
    if (lengths[victim] == 0) continue;
    lengths[victim] -= 1;
    EXPECT_FALSE(build_literal_code(lengths, *code, table)) << "either a gap or too many";
  }
}

TEST(DeflateWriter, KnowsTheSizeBeforehand) {
  std::mt19937 random(3);
  const auto writer = std::make_unique<DeflateWriter>();
  for (const size_t size : {0, 1, 3, 500, 40000}) {
    const auto symbols = skewed_bytes(size, 256, 3, random);
    std::vector<std::byte> coded(2 * size + 200), exact;
    coded.resize(writer->write(symbols, coded).value());
    exact.resize(coded.size());
    EXPECT_EQ(writer->write(symbols, exact).value(), coded.size());
    EXPECT_EQ(exact, coded);
    EXPECT_TRUE(zlib_reads(exact, symbols)) << size;
    exact.resize(coded.size() - 1);
    exact.shrink_to_fit();
    EXPECT_EQ(writer->write(symbols, exact).error(), Error::kNoCapacity);
  }
}

TEST(DeflateWriter, GivesDifferentHalvesTheirOwnCodes) {
  std::mt19937 random(4);
  const auto writer = std::make_unique<DeflateWriter>();
  auto symbols = skewed_bytes(1 << 16, 7, 0, random);
  const auto noise = skewed_bytes(1 << 16, 256, 0, random);
  symbols.insert(symbols.end(), noise.begin(), noise.end());
  std::vector<std::byte> coded(symbols.size());
  const size_t size = writer->write(symbols, coded).value();
  EXPECT_LT(size, (1u << 16) * 3 / 8 + (1u << 16) + 300);
  EXPECT_TRUE(zlib_reads(std::span(coded).first(size), symbols));
}

TEST(DeflateWriter, IsAboutAsSmallAsZlib) {
  std::mt19937 random(5);
  const auto writer = std::make_unique<DeflateWriter>();
  for (const uint32_t alphabet : {2, 15, 100, 256}) {
    for (const uint32_t skew : {0, 2, 5}) {
      const auto symbols = skewed_bytes(32768, alphabet, skew, random);
      std::vector<std::byte> coded(2 * symbols.size());
      const auto size = static_cast<double>(writer->write(symbols, coded).value());
      EXPECT_LT(size, 1.01 * static_cast<double>(zlib_stream(symbols, 1, Z_HUFFMAN_ONLY).size()) + 16);
    }
  }
}

}  // namespace
}  // namespace shadowserve
