// The bench notices wrong decodes, counts as it says, and makes the same values every time.
#include <gtest/gtest.h>

#include <algorithm>

#include "bench/bench_trials.h"
#include "bench/decode_check.h"
#include "peers/cachegen_coder.h"

namespace shadowserve {
namespace {

std::vector<std::byte> some_bytes(size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7);
  return bytes;
}

TEST(DecodeCheck, FindsTheFirstWrongByte) {
  const auto right = some_bytes(1000);
  EXPECT_EQ(first_difference(right, right), std::nullopt);
  EXPECT_EQ(first_difference({}, {}), std::nullopt);
  for (const size_t at : {size_t{0}, size_t{63}, size_t{999}}) {
    auto wrong = right;
    wrong[at] ^= std::byte{1};
    EXPECT_EQ(first_difference(right, wrong), at);
    EXPECT_THROW(expect_same("a row", "its bytes", right, wrong), WrongDecode);
  }
}

TEST(DecodeCheck, TooShortOrTooLongIsWrong) {
  const auto right = some_bytes(10), longer = some_bytes(11);
  EXPECT_EQ(first_difference(right, longer), 10u);
  EXPECT_EQ(first_difference(longer, right), 10u);
  EXPECT_EQ(first_difference(right, {}), 0u);
}

BenchInput small_input() {
  const KvShape shape = parse_kv_shape("2x2x64x4x64", "fp16", 64);
  return BenchInput(shape, cut_into_chunks(made_up_kv(shape), shape));
}

/// Stores bytes as they are, and hands back one that is wrong.
class LyingCoder final : public peers::PeerCoder {
 public:
  std::string name() const override { return "liar"; }
  size_t encode(const peers::SymbolBlock& block, std::span<uint8_t> coded) override {
    std::copy(block.bytes.begin(), block.bytes.end(), coded.begin());
    return block.bytes.size();
  }
  bool decode(std::span<const uint8_t> coded, const peers::BlockPlace& place,
              std::span<uint8_t> bytes) override {
    std::copy(coded.begin(), coded.end(), bytes.begin());
    if (place.plane == 3) bytes[bytes.size() / 2] ^= 1;
    return true;
  }
};

TEST(CoderTrial, AWrongSymbolEndsTheBench) {
  const BenchInput input = small_input();
  const auto blocks = std::make_shared<const SymbolBlocks>(packed_blocks(input, peers::Packing::kBytes));
  const auto liar = coder_trial("liar", std::make_shared<LyingCoder>(), blocks, ideal_bits(*blocks));
  EXPECT_THROW(liar->repeat(true), WrongDecode);
}

/// Delivers what another path delivers, but for one byte.
class LyingPath final : public PagePath {
 public:
  bool deliver(uint32_t part, const RecordView& view, std::span<std::byte> destination) override {
    if (!honest_->deliver(part, view, destination)) return false;
    destination.back() ^= std::byte{1};
    return true;
  }

 private:
  std::unique_ptr<PagePath> honest_ = staged_path();
};

TEST(PageTrial, AWrongValueEndsTheBench) {
  BenchInput input = small_input();
  const auto ring = std::make_shared<DramRing>(input.value_bytes());
  const Profile profile{};
  EXPECT_NO_THROW(page_trial("honest", "", input, profile, plane_path(), ring)->repeat(true));
  EXPECT_THROW(page_trial("liar", "", input, profile, std::make_unique<LyingPath>(), ring)->repeat(true),
               WrongDecode);
}

TEST(CacheGenCoder, GivesBackWhatItCodedNearItsIdealSize) {
  const BenchInput input = small_input();
  const auto blocks = packed_blocks(input, peers::Packing::kBytes);
  peers::CacheGenCoder coder;
  coder.learn(blocks.blocks);
  size_t coded_bytes = 0;
  for (const peers::SymbolBlock& block : blocks.blocks) {
    std::vector<uint8_t> coded(coded_bytes_max(block)), back(block.bytes.size());
    const size_t size = coder.encode(block, coded);
    ASSERT_GT(size, 0u);
    ASSERT_TRUE(coder.decode(std::span(coded).first(size), block.place, back));
    ASSERT_TRUE(std::equal(back.begin(), back.end(), block.bytes.begin()));
    coded_bytes += size - size_t{3} * block.place.channels;  // lengths, and the last byte of each stream
  }
  // Tables a channel know more than one a frame.
  EXPECT_LT(static_cast<double>(coded_bytes) * 8, ideal_bits(blocks));
}

TEST(CacheGenCoder, SurvivesAChannelOfOneSymbol) {
  std::vector<uint8_t> bytes(64 * 8, 5);
  for (size_t i = 0; i < 64; ++i) bytes[i * 8 + 3] = static_cast<uint8_t>(i % 16);
  const peers::SymbolBlock block{{0, 64, 8, 16}, bytes};
  peers::CacheGenCoder coder;
  coder.learn({&block, 1});
  std::vector<uint8_t> coded(coded_bytes_max(block)), back(bytes.size());
  const size_t size = coder.encode(block, coded);
  ASSERT_TRUE(coder.decode(std::span(coded).first(size), block.place, back));
  EXPECT_EQ(back, bytes);
}

TEST(Spread, IsTheMiddleAndItsHalf) {
  const Spread spread = spread_of({5, 1, 4, 2, 3});
  EXPECT_EQ(spread.median, 3);
  EXPECT_EQ(spread.p25, 2);
  EXPECT_EQ(spread.p75, 4);
  EXPECT_EQ(paired_ratio({"a", {2, 40, 6}}, {"b", {1, 10, 3}}), 2);
}

TEST(KvDump, ChunksComeTogetherAgain) {
  const KvShape shape = parse_kv_shape("2x2x70x2x8", "bf16", 32);
  const auto dump = made_up_kv(shape);
  EXPECT_EQ(shape.chunks(), 3u);
  const auto chunks = cut_into_chunks(dump, shape);
  EXPECT_EQ(chunks.size(), 3 * shape.geometry.chunk_bytes());
  EXPECT_EQ(join_chunks(chunks, shape), dump);
  EXPECT_EQ(made_up_kv(shape), dump);
}

}  // namespace
}  // namespace shadowserve
