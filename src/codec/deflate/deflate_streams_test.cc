// Streams side by side: all of ours and other writers' literals decode, and no verdict differs from ISA-L's.
#include <gtest/gtest.h>

#include "codec/deflate/deflate_sample.h"
#include "codec/deflate/deflate_writer.h"
#include "codec/deflate/stream_verdict.h"

namespace shadowserve {
namespace {

std::vector<std::byte> written(std::span<const std::byte> symbols) {
  const auto writer = std::make_unique<DeflateWriter>();
  std::vector<std::byte> coded(2 * symbols.size() + 200);
  coded.resize(writer->write(symbols, coded).value());
  return coded;
}

class Streams : public testing::TestWithParam<StreamTarget> {
 protected:
  StreamVerdict verdict_{GetParam()};
  std::mt19937 random_{17};
};

TEST_P(Streams, DecodeWhatWeWrite) {
  for (const size_t size : {1, 2, 4, 5, 6, 31, 64, 1000, 32767, 32768, 65536, 100001, 262144}) {
    for (const size_t batch : {1, 2, 3, 6, 7, 13}) {
      std::vector<OfferedStream> offered;
      for (size_t i = 0; i < batch; ++i) {
        const auto symbols = skewed_bytes(size, 1 + random_() % 256, random_() % 6, random_);
        offered.push_back({written(symbols), size});
        ASSERT_TRUE(zlib_reads(offered.back().coded, symbols)) << size;
      }
      bool agreed = true;
      EXPECT_EQ(verdict_.decode(offered, 1 + random_() % 100000, agreed), batch) << size;
      EXPECT_TRUE(agreed) << size;
      if (size > 65536) break;
    }
  }
}

TEST_P(Streams, DecodeManyAlphabets) {
  size_t decoded_of_all = 0, with_literals_of_all = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<OfferedStream> offered;
    size_t with_literals = 0;
    for (size_t i = 0; i < 1 + random_() % 12; ++i) {
      const size_t size = 1 + random_() % (random_() % 4 == 0 ? 40000 : 3000);
      const auto symbols = skewed_bytes(size, 1 + random_() % 256, random_() % 7, random_);
      const bool ours = random_() % 2 == 0;
      // Short codes, long ones, and blocks of a few hundred symbols.
      const int mem_level = 1 + static_cast<int>(random_() % 9);
      const auto coded = ours ? written(symbols) : zlib_stream(symbols, 1, Z_HUFFMAN_ONLY, mem_level);
      with_literals += (coded[0] & std::byte{6}) != std::byte{0};  // zlib stores what would grow
      offered.push_back({coded, size});
    }
    bool agreed = true;
    const size_t decoded = verdict_.decode(offered, 1 + random_() % 5000, agreed);
    EXPECT_LE(decoded, with_literals);
    EXPECT_TRUE(agreed);
    decoded_of_all += decoded;
    with_literals_of_all += with_literals;
  }
  EXPECT_GE(decoded_of_all * 10, with_literals_of_all * 7) << "most have few blocks, none of them stored";
}

TEST_P(Streams, LeaveTheRestToTheGeneralDecoder) {
  const auto symbols = skewed_bytes(30000, 5, 3, random_);
  std::vector<OfferedStream> offered;
  for (const int level : {0, 1, 6, 9}) {
    for (const int strategy : {Z_DEFAULT_STRATEGY, Z_FIXED, Z_RLE}) {
      offered.push_back({zlib_stream(symbols, level, strategy), symbols.size()});
    }
  }
  const size_t matches = offered.size();
  offered.insert(offered.begin() + 3, {zlib_stream(symbols, 1, Z_HUFFMAN_ONLY), symbols.size()});
  offered.push_back({{}, 0});
  offered.push_back({{}, 10});
  bool agreed = true;
  EXPECT_EQ(verdict_.decode(offered, 1000, agreed), 1u) << "of " << matches << " with matches";
  EXPECT_TRUE(agreed);
}

TEST_P(Streams, TheSizesMustBeRight) {
  for (const size_t size : {1, 9, 300, 5000}) {
    const auto coded = written(skewed_bytes(size, 200, 3, random_));
    std::vector<OfferedStream> offered;
    for (size_t less = 1; less <= coded.size(); ++less) {
      offered.push_back({{coded.begin(), coded.end() - static_cast<ptrdiff_t>(less)}, size});
    }
    for (const size_t wrong : {size - 1, size + 1, size + 5, size + 1000, size_t{0}}) {
      offered.push_back({coded, wrong});
    }
    auto longer = coded;
    longer.push_back(std::byte{0});
    offered.push_back({longer, size});
    longer.resize(longer.size() + 40);
    offered.push_back({longer, size});
    bool agreed = true;
    EXPECT_EQ(verdict_.decode(offered, 1000, agreed), 0u);
  }
}

TEST_P(Streams, DamageIsJudgedAlike) {
  bool agreed = true;
  size_t decoded = 0, damaged = 0;
  for (int round = 0; round < 400; ++round) {
    std::vector<OfferedStream> offered;
    const size_t size = 1 + random_() % 3000;
    const auto symbols = skewed_bytes(size, 1 + random_() % 256, random_() % 7, random_);
    const auto coded =
        round % 2 == 0 ? written(symbols) : zlib_stream(symbols, 1, Z_HUFFMAN_ONLY, 1 + round % 9);
    for (int i = 0; i < 12; ++i) {
      auto twisted = coded;
      const size_t reach = i % 3 == 0 ? twisted.size() : std::min<size_t>(twisted.size(), 90);
      twisted[random_() % reach] ^= static_cast<std::byte>(1u << random_() % 8);
      offered.push_back({twisted, size});
    }
    damaged += offered.size();
    decoded += verdict_.decode(offered, 1 + random_() % 5000, agreed);
  }
  EXPECT_TRUE(agreed);
  EXPECT_GT(decoded, damaged / 100) << "a flipped bit may well leave a valid stream";
  EXPECT_LT(decoded, damaged / 2);
}

TEST_P(Streams, NoiseStaysInside) {
  bool agreed = true;
  for (int round = 0; round < 3000; ++round) {
    std::vector<OfferedStream> offered;
    for (size_t i = 0; i < 7; ++i) {
      std::vector<std::byte> noise(random_() % 200);
      for (std::byte& b : noise) b = static_cast<std::byte>(random_());
      // Fixed blocks need no luck with a header.
      if (!noise.empty() && i % 2 == 0) noise[0] = (noise[0] & std::byte{0xf8}) | std::byte{3};
      offered.push_back({noise, random_() % 300});
    }
    verdict_.decode(offered, 1 + random_() % 100, agreed);
  }
  EXPECT_TRUE(agreed);
}

INSTANTIATE_TEST_SUITE_P(Targets, Streams, testing::Values(StreamTarget::kPortable, StreamTarget::kBest),
                         [](const auto& info) {
                           return info.param == StreamTarget::kBest ? "best" : "portable";
                         });

}  // namespace
}  // namespace shadowserve
