// The lossless coders: round trips, other people's streams, hostile bytes, and buffers that are never
// overrun.
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <random>
#include <vector>

#include "codec/codec.h"
#include "codec/fenced_buffer.h"

namespace shadowserve {
namespace {

const CoderId kCoders[] = {CoderId::kNone, CoderId::kDeflate, CoderId::kZstd, CoderId::kRans};

std::vector<std::byte> skewed(size_t size, uint32_t seed, int spread) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& b : bytes) {
    int sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<int>(random() >> 8) % spread;
    b = static_cast<std::byte>(sum);
  }
  return bytes;
}

TEST(Coder, RoundTripsAtManySizes) {
  CoderWorkspace workspace;
  std::vector<std::byte> coded(kFrameBytesMax);
  for (const CoderId wanted : kCoders) {
    for (const size_t size : {size_t{1}, size_t{2}, size_t{7}, size_t{64}, size_t{1000}, size_t{32768},
                              size_t{65536}, size_t{100001}, kFrameBytesMax}) {
      for (const int spread : {1, 5, 64}) {
        const auto symbols = skewed(size, 3, spread);
        CoderId coder = wanted;
        const auto coded_size = workspace.encode(coder, symbols, coded);
        ASSERT_TRUE(coded_size);
        ASSERT_LE(*coded_size, size);
        FencedBuffer in(*coded_size), out(size);
        std::memcpy(in.span().data(), coded.data(), *coded_size);
        ASSERT_TRUE(workspace.decode(coder, in.span(), out.span())) << int(wanted) << " " << size;
        ASSERT_EQ(std::memcmp(out.span().data(), symbols.data(), size), 0);
      }
    }
  }
}

TEST(Coder, StoresWhatWouldNotShrink) {
  CoderWorkspace workspace;
  std::mt19937 random(1);
  std::vector<std::byte> noise(5000), coded(5000);
  for (std::byte& b : noise) b = static_cast<std::byte>(random());
  for (const CoderId wanted : kCoders) {
    CoderId coder = wanted;
    EXPECT_EQ(*workspace.encode(coder, noise, coded), noise.size());
    EXPECT_EQ(coder, CoderId::kNone);
    EXPECT_EQ(noise, coded);
    EXPECT_EQ(workspace.encode(coder, noise, std::span(coded).first(4999)).error(), Error::kNoCapacity);
  }
}

TEST(Coder, AnyInflateReadsOurDeflate) {
  CoderWorkspace workspace;
  const auto symbols = skewed(200000, 5, 9);
  std::vector<std::byte> coded(symbols.size()), back(symbols.size());
  CoderId coder = CoderId::kDeflate;
  const size_t size = *workspace.encode(coder, symbols, coded);
  ASSERT_EQ(coder, CoderId::kDeflate);
  z_stream stream{};
  ASSERT_EQ(inflateInit2(&stream, -15), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(coded.data());
  stream.avail_in = static_cast<uInt>(size);
  stream.next_out = reinterpret_cast<Bytef*>(back.data());
  stream.avail_out = static_cast<uInt>(back.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  EXPECT_EQ(stream.avail_in, 0u);
  EXPECT_EQ(back, symbols);
  inflateEnd(&stream);
}

TEST(Coder, WeReadAnyDeflate) {
  CoderWorkspace workspace;
  const auto symbols = skewed(100000, 6, 5);
  for (const int level : {0, 1, 6, 9}) {
    for (const int strategy : {Z_DEFAULT_STRATEGY, Z_FIXED, Z_RLE, Z_HUFFMAN_ONLY}) {
      z_stream stream{};
      ASSERT_EQ(deflateInit2(&stream, level, Z_DEFLATED, -15, 8, strategy), Z_OK);
      std::vector<std::byte> coded(2 * symbols.size()), back(symbols.size());
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(symbols.data()));
      stream.avail_in = static_cast<uInt>(symbols.size());
      stream.next_out = reinterpret_cast<Bytef*>(coded.data());
      stream.avail_out = static_cast<uInt>(coded.size());
      ASSERT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
      coded.resize(coded.size() - stream.avail_out);
      deflateEnd(&stream);
      EXPECT_TRUE(workspace.decode(CoderId::kDeflate, coded, back)) << level << " " << strategy;
      EXPECT_EQ(back, symbols);
    }
  }
}

TEST(Coder, RefusesWrongSizes) {
  CoderWorkspace workspace;
  const auto symbols = skewed(3000, 4, 5);
  std::vector<std::byte> coded(4000);
  for (const CoderId wanted : kCoders) {
    CoderId coder = wanted;
    const size_t size = *workspace.encode(coder, symbols, coded);
    ASSERT_EQ(coder, wanted);
    const auto decode = [&](size_t coded_size, size_t symbol_size) {
      FencedBuffer in(coded_size), out(symbol_size);
      std::memcpy(in.span().data(), coded.data(), coded_size);
      return workspace.decode(coder, in.span(), out.span()).has_value();
    };
    EXPECT_TRUE(decode(size, symbols.size()));
    EXPECT_FALSE(decode(size, symbols.size() - 1));
    EXPECT_FALSE(decode(size, symbols.size() + 1));
    EXPECT_FALSE(decode(size + 1, symbols.size()));
    for (size_t less = 1; less <= size; less += 13) EXPECT_FALSE(decode(size - less, symbols.size())) << less;
  }
}

TEST(Coder, RefusesTwoZstdFramesAndSkippableOnes) {
  CoderWorkspace workspace;
  const auto symbols = skewed(3000, 4, 5);
  std::vector<std::byte> coded(4000), out(6000);
  CoderId coder = CoderId::kZstd;
  coded.resize(*workspace.encode(coder, symbols, coded));
  auto twice = coded;
  twice.insert(twice.end(), coded.begin(), coded.end());
  EXPECT_EQ(workspace.decode(coder, twice, out).error(), Error::kRecordMalformed);
  const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0};
  auto padded = coded;
  for (const uint8_t b : skippable) padded.push_back(std::byte{b});
  EXPECT_FALSE(workspace.decode(coder, padded, std::span(out).first(3000)));
}

TEST(Coder, HostileBytesStayInside) {
  CoderWorkspace workspace;
  std::mt19937 random(11);
  const auto symbols = skewed(20000, 8, 7);
  std::vector<std::byte> coded(symbols.size());
  for (const CoderId wanted : {CoderId::kDeflate, CoderId::kZstd}) {
    CoderId coder = wanted;
    const size_t size = *workspace.encode(coder, symbols, coded);
    FencedBuffer in(size), out(symbols.size());
    for (int round = 0; round < 3000; ++round) {
      std::memcpy(in.span().data(), coded.data(), size);
      const size_t changes = 1 + random() % 4;
      // Mostly near the start, where headers and code tables are.
      const size_t reach = round % 3 == 0 ? size : std::min<size_t>(size, 120);
      for (size_t i = 0; i < changes; ++i) in.span()[random() % reach] = static_cast<std::byte>(random());
      (void)workspace.decode(coder, in.span(), out.span());  // any answer; a fault is the failure
    }
    // A decoder that met nonsense still works.
    std::memcpy(in.span().data(), coded.data(), size);
    ASSERT_TRUE(workspace.decode(coder, in.span(), out.span()));
    ASSERT_EQ(std::memcmp(out.span().data(), symbols.data(), symbols.size()), 0);
  }
  for (int round = 0; round < 2000; ++round) {
    FencedBuffer in(random() % 300), out(random() % 300);
    for (std::byte& b : in.span()) b = static_cast<std::byte>(random());
    for (const CoderId coder : kCoders) (void)workspace.decode(coder, in.span(), out.span());
  }
}

TEST(Coder, UnknownCoder) {
  CoderWorkspace workspace;
  std::vector<std::byte> out(4);
  EXPECT_EQ(workspace.decode(static_cast<CoderId>(77), out, out).error(), Error::kUnsupported);
}

}  // namespace
}  // namespace shadowserve
