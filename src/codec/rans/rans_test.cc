// The rANS coder: every SIMD target against the scalar oracle, sizes against the ideal, and hostile frames.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "codec/rans/rans_frame.h"
#include "hwy/highway.h"

namespace shadowserve {
namespace {

std::vector<uint8_t> drawn(size_t count, int centre, double spread, uint32_t seed, double wild = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(centre, spread);
  std::uniform_int_distribution<int> any(0, 255);
  std::bernoulli_distribution is_wild(wild);
  std::vector<uint8_t> symbols(count);
  for (auto& symbol : symbols) {
    const double value = is_wild(random) ? any(random) : std::round(normal(random));
    symbol = static_cast<uint8_t>(std::clamp(value, 0.0, 255.0));
  }
  return symbols;
}

std::span<const std::byte> bytes(const std::vector<uint8_t>& from) { return std::as_bytes(std::span(from)); }

SymbolCounts counts_of(const std::vector<uint8_t>& symbols) {
  SymbolCounts counts{};
  count_symbols(symbols, counts);
  return counts;
}

std::vector<uint8_t> coded_of(const std::vector<uint8_t>& symbols) {
  std::vector<uint8_t> coded(symbols.size() * 2 + 1024);
  const auto size = write_rans_frame(bytes(symbols), std::as_writable_bytes(std::span(coded)));
  EXPECT_TRUE(size);
  coded.resize(size.value_or(0));
  return coded;
}

/// The verdict and what was decoded, `piece` symbols at a time (0: all at once).
bool decode(const std::vector<uint8_t>& coded, std::vector<uint8_t>& symbols, size_t piece = 0) {
  // Exactly as large as the frame, so that a sanitizer sees reads beyond it.
  const std::vector<uint8_t> exact(coded);
  RansReader reader;
  if (!reader.open(bytes(exact), symbols.size())) return false;
  if (piece == 0) piece = symbols.size();
  for (size_t at = 0; at < symbols.size(); at += piece) {
    reader.next(symbols.data() + at, std::min(piece, symbols.size() - at));
  }
  return reader.finish().has_value();
}

struct Source {
  int centre;
  double spread;
  double wild;
};
constexpr Source kSources[] = {{7, 3, 0},   {7, 0.3, 0},   {128, 1, 0.01}, {128, 6, 0.05},  {0, 0.01, 0},
                               {255, 2, 0}, {31, 20, 0.3}, {128, 60, 0},   {5, 0.05, 0.001}};

class RansOnTargets : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

std::vector<int64_t> targets() { return hwy::SupportedAndGeneratedTargets(); }

TEST_P(RansOnTargets, BothWaysGiveTheOraclesBytes) {
  for (const Source& source : kSources) {
    for (const size_t count : {1u, 2u, 63u, 64u, 65u, 127u, 128u, 129u, 1000u, 4096u, 65537u}) {
      const auto symbols =
          drawn(count, source.centre, source.spread, static_cast<uint32_t>(count), source.wild);
      const RansTable table = fit_rans_table(counts_of(symbols));
      ASSERT_TRUE(table.valid());
      std::vector<uint8_t> one(count + 256), other(count + 256);
      RansWriting writings[2];
      for (int i = 0; i < 2; ++i) {
        auto& room = i == 0 ? one : other;
        writings[i].lanes.fill(kRansStateMin);
        writings[i].stream = room.data() + room.size();
        writings[i].stream_begin = room.data();
      }
      const RansEncodeLookup lookup(table);
      ASSERT_TRUE(rans_encode_oracle(lookup, writings[0], symbols.data(), count));
      ASSERT_TRUE(rans_encode_simd(lookup, writings[1], symbols.data(), count));
      ASSERT_EQ(writings[0].lanes, writings[1].lanes) << count << ' ' << source.centre;
      ASSERT_EQ(writings[0].stream - one.data(), writings[1].stream - other.data());
      // Below what it wrote a vector kernel may have touched bytes.
      ASSERT_TRUE(std::equal(writings[0].stream, one.data() + one.size(), writings[1].stream));

      std::vector<uint8_t> literals(count + 1, 0xee), literals_simd(count + 1, 0xee);
      for (const size_t room : {count, size_t{3}, size_t{0}}) {
        if (room > count) continue;
        ASSERT_EQ(rans_literals_oracle(table, symbols.data(), count, literals.data(), room),
                  rans_literals_simd(table, symbols.data(), count, literals_simd.data(), room));
        ASSERT_EQ(literals, literals_simd);
      }

      const auto coded = coded_of(symbols);
      std::vector<uint8_t> decoded(count);
      EXPECT_TRUE(decode(coded, decoded)) << count << ' ' << source.centre;
      EXPECT_EQ(decoded, symbols);
      std::vector<uint8_t> in_pieces(count);
      EXPECT_TRUE(decode(coded, in_pieces, 256));
      EXPECT_EQ(in_pieces, symbols);
    }
  }
}

// Verdict, symbols and the decoder's whole state agree, whatever the bytes are.
TEST_P(RansOnTargets, HostileInputGivesTheOraclesAnswer) {
  std::mt19937 random(7);
  for (int round = 0; round < 400; ++round) {
    const Source& source = kSources[static_cast<size_t>(round) % std::size(kSources)];
    const auto count = static_cast<size_t>(1 + random() % 3000);
    const RansLookup lookup(
        fit_rans_table(counts_of(drawn(2000, source.centre, source.spread, random(), source.wild))));
    std::vector<uint8_t> stream(random() % (count + 1)), literals(random() % 40);
    for (auto& byte : stream) byte = static_cast<uint8_t>(random());
    for (auto& byte : literals) byte = static_cast<uint8_t>(random());
    RansReading readings[2];
    for (auto& lane : readings[0].lanes) lane = static_cast<uint16_t>(random() % (round % 2 ? 65536 : 300));
    readings[0].stream = stream.data();
    readings[0].stream_end = stream.data() + stream.size();
    readings[0].literals = literals.data();
    readings[0].literals_end = literals.data() + literals.size();
    readings[0].overrun = false;
    readings[1] = readings[0];
    std::vector<uint8_t> expected(count), found(count);
    rans_decode_oracle(lookup, readings[0], expected.data(), count);
    rans_decode_simd(lookup, readings[1], found.data(), count);
    ASSERT_EQ(found, expected) << round;
    ASSERT_EQ(readings[0].lanes, readings[1].lanes) << round;
    ASSERT_EQ(readings[0].stream, readings[1].stream);
    ASSERT_EQ(readings[0].literals, readings[1].literals);
    ASSERT_EQ(readings[0].overrun, readings[1].overrun);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, RansOnTargets, ::testing::ValuesIn(targets()),
                         [](const auto& info) { return hwy::TargetName(info.param); });

TEST(Rans, SizeIsWithinTwoPercentOfTheTablesIdeal) {
  for (const double bits_wanted : {1.0, 2.0, 3.0, 4.0}) {
    // A normal distribution of this spread has about so many bits.
    const double spread = std::exp2(bits_wanted) / 4.1327;
    const auto symbols = drawn(256 << 10, 128, spread, 3);
    const SymbolCounts counts = counts_of(symbols);
    const double ideal = rans_bits(fit_rans_table(counts), counts) / 8;
    const auto size = static_cast<double>(coded_of(symbols).size());
    EXPECT_LT(size, ideal * 1.02) << bits_wanted << " bits a symbol, ideal " << ideal;
    EXPECT_GT(size, ideal) << "smaller than ideal: the count is wrong";
  }
}

TEST(Rans, TablesComeWithinThreePercentOfEntropy) {
  for (const double spread : {0.4, 0.8, 2.0, 4.0}) {
    // Two in a thousand are wide: a table must leave them to the escape.
    const auto symbols = drawn(1 << 18, 100, spread, 5, 0.002);
    const SymbolCounts counts = counts_of(symbols);
    double entropy = 0;
    for (const double count : counts) {
      if (count > 0) entropy -= count * std::log2(count / static_cast<double>(symbols.size()));
    }
    EXPECT_LT(rans_bits(fit_rans_table(counts), counts), entropy * 1.03) << spread;
  }
}

TEST(Rans, SegmentsHaveTablesOfTheirOwn) {
  std::vector<uint8_t> symbols;
  std::vector<RansSegment> segments;
  for (int i = 0; i < 16; ++i) {
    const auto piece =
        drawn(static_cast<size_t>(100 + 37 * i), 10 * i, 0.5 + i, static_cast<uint32_t>(i), 0.01);
    segments.push_back({static_cast<uint32_t>(piece.size()), fit_rans_table(counts_of(piece)), std::nullopt});
    symbols.insert(symbols.end(), piece.begin(), piece.end());
  }
  std::vector<uint8_t> coded(2 * symbols.size() + 2048);
  const auto size = write_rans_frame(segments, bytes(symbols), std::as_writable_bytes(std::span(coded)));
  ASSERT_TRUE(size);
  coded.resize(*size);
  std::vector<uint8_t> decoded(symbols.size());
  EXPECT_TRUE(decode(coded, decoded));
  EXPECT_EQ(decoded, symbols);
}

TEST(Rans, SharedTablesDoNotTravel) {
  const auto symbols = drawn(5000, 100, 2, 4, 0.005);
  const std::vector<RansTable> set = {RansTable::uniform(), fit_rans_table(counts_of(symbols))};
  RansSegment segment{static_cast<uint32_t>(symbols.size()), set[1], std::nullopt};
  std::vector<std::byte> coded(8000), other(8000);
  const auto with_table = write_rans_frame({&segment, 1}, bytes(symbols), coded);
  segment.shared = 1;
  const auto without = write_rans_frame({&segment, 1}, bytes(symbols), other);
  ASSERT_TRUE(with_table && without);
  EXPECT_EQ(*with_table - *without, set[1].count);
  other.resize(*without);
  RansReader reader;
  std::vector<uint8_t> decoded(symbols.size());
  const RansTableSet shared(set), smaller({set[0]});
  ASSERT_TRUE(reader.open(other, symbols.size(), &shared));
  reader.next(decoded.data(), decoded.size());
  EXPECT_TRUE(reader.finish());
  EXPECT_EQ(decoded, symbols);
  const auto unknown = reader.open(other, symbols.size(), &smaller);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error(), Error::kUnsupported);
  EXPECT_FALSE(reader.open(other, symbols.size()));
}

TEST(Rans, SegmentsGoToRowsOnEveryTarget) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    for (const size_t width : {1u, 7u, 16u, 32u, 48u, 64u, 100u, 192u}) {
      constexpr size_t kRows = 37, kRowBytes = 200;
      const auto symbols = drawn(width * kRows, 100, 2, 4, 0.01);
      const auto coded = coded_of(symbols);
      std::vector<uint8_t> rows(kRows * kRowBytes, 0xa5), expected = rows;
      for (size_t i = 0; i < symbols.size(); ++i) expected[i / width * kRowBytes + i % width] = symbols[i];
      RansReader reader;
      ASSERT_TRUE(reader.open(std::as_bytes(std::span(coded)), symbols.size()));
      ASSERT_TRUE(reader.next_rows({rows.data(), kRowBytes, width, kRows})) << width;
      EXPECT_FALSE(reader.has_segment());
      EXPECT_TRUE(reader.finish());
      EXPECT_EQ(rows, expected) << width;
      // Rows of another size are not what the frame has.
      ASSERT_TRUE(reader.open(std::as_bytes(std::span(coded)), symbols.size()));
      EXPECT_FALSE(reader.next_rows({rows.data(), kRowBytes, width, kRows - 1}));
    }
    // Streams that end too early or are nonsense, like the oracle.
    std::mt19937 random(9);
    for (int round = 0; round < 50; ++round) {
      const RansLookup table(fit_rans_table(counts_of(drawn(500, 3, 4, 5, 0.05))));
      std::vector<uint8_t> stream(random() % 600);
      for (uint8_t& byte : stream) byte = static_cast<uint8_t>(random());
      RansReading reading{};
      for (uint16_t& lane : reading.lanes) lane = static_cast<uint16_t>(random());
      reading.literals = stream.data();
      reading.literals_end = reading.stream = stream.data() + stream.size() / 8;
      reading.stream_end = stream.data() + stream.size();
      RansReading same = reading;
      std::vector<uint8_t> rows(32 * 80), expected(32 * 80);
      rans_decode_rows_oracle(table, reading, {expected.data(), 80, 48, 32});
      rans_decode_rows_simd(table, same, {rows.data(), 80, 48, 32});
      ASSERT_EQ(rows, expected);
      ASSERT_EQ(reading.lanes, same.lanes);
      ASSERT_EQ(reading.overrun, same.overrun);
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(Rans, DamageIsNoticedOrChangesNothing) {
  const auto symbols = drawn(3000, 120, 3, 11, 0.02);
  const auto coded = coded_of(symbols);
  std::vector<uint8_t> decoded(symbols.size());
  for (size_t size = 0; size < coded.size(); size += 1 + size / 40) {
    EXPECT_FALSE(decode({coded.begin(), coded.begin() + static_cast<ptrdiff_t>(size)}, decoded)) << size;
  }
  std::mt19937 random(1);
  int refused = 0;
  constexpr int kFlips = 2000;
  for (int i = 0; i < kFlips; ++i) {
    auto damaged = coded;
    damaged[random() % damaged.size()] ^= static_cast<uint8_t>(1u << random() % 8);
    refused += !decode(damaged, decoded);
  }
  // Literals have no redundancy of their own; the record's seal is what guards them.
  EXPECT_GT(refused, kFlips * 9 / 10);
}

TEST(Rans, TooLittleRoomIsSaid) {
  const auto symbols = drawn(5000, 7, 3, 2);
  const size_t needed = coded_of(symbols).size();
  for (size_t room = 0; room < needed; room += 97) {
    std::vector<uint8_t> coded(room);
    EXPECT_FALSE(write_rans_frame(bytes(symbols), std::as_writable_bytes(std::span(coded)))) << room;
  }
}

}  // namespace
}  // namespace shadowserve
