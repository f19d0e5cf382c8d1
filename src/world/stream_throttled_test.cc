// The token bucket on a virtual clock: how much it lets through, when, and for how many.
#include "world/stream_throttled.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace shadowserve {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

/// A peer that always has `waiting` bytes more.
class EagerStream final : public Stream {
 public:
  explicit EagerStream(uint64_t waiting = UINT64_MAX) : waiting_(waiting) {}
  Result<void> connect(const StreamAddress&) override { return {}; }
  Result<bool> ready() override { return true; }
  Result<size_t> readv(std::span<const iovec> into) override {
    ++calls;
    uint64_t got = 0;
    for (const iovec& part : into) got += part.iov_len;
    got = std::min(got, waiting_);
    waiting_ -= got;
    return got;
  }
  Result<size_t> writev(std::span<const iovec> from) override { return from[0].iov_len; }
  int fd() const override { return 7; }
  bool wants_output() const override { return false; }
  bool has_input() const override { return false; }
  void close() override {}
  int why() const override { return 0; }
  int calls = 0;

 private:
  uint64_t waiting_;
};

size_t read(Stream& stream, size_t most = 1 << 20) {
  static std::vector<std::byte> memory(2 << 20);
  const std::array<iovec, 2> parts = {{{memory.data(), most / 3}, {memory.data(), most - most / 3}}};
  const Result<size_t> got = stream.readv(parts);
  EXPECT_TRUE(got);
  return got.value_or(0);
}

class ThrottledStreamTest : public ::testing::Test {
 protected:
  std::unique_ptr<ThrottledStream> stream(std::shared_ptr<RateBucket> bucket, uint64_t waiting = UINT64_MAX) {
    return std::make_unique<ThrottledStream>(std::make_unique<EagerStream>(waiting), std::move(bucket),
                                             clock_);
  }
  /// What comes in `ns` when it is looked at every `step_ns`.
  uint64_t bytes_in(Stream& from, uint64_t ns, uint64_t step_ns) {
    uint64_t bytes = 0;
    for (uint64_t passed = 0; passed < ns; passed += step_ns) {
      clock_.advance_ns(step_ns);
      while (const size_t got = read(from)) bytes += got;
    }
    return bytes;
  }
  VirtualClock clock_;
};

TEST_F(ThrottledStreamTest, LetsThroughExactlyItsRate) {
  for (const uint64_t rate : {1'000'000u, 200'000'000u, 999'999'937u}) {
    for (const uint64_t bits : {rate, rate * 100}) {
      const auto limited = stream(std::make_shared<RateBucket>(bits));
      while (read(*limited) > 0) continue;  // the burst
      const auto expected = static_cast<double>(bits) / 8;
      EXPECT_NEAR(static_cast<double>(bytes_in(*limited, kSecond, 7'001)), expected,
                  std::max(expected * 1e-5, 65536.0))
          << bits;
    }
  }
}

TEST_F(ThrottledStreamTest, WithoutItEverythingComesAtOnce) {
  EagerStream unlimited;
  EXPECT_EQ(read(unlimited), 1u << 20);
  EXPECT_EQ(read(unlimited), 1u << 20) << "the negative control of this file";
}

TEST_F(ThrottledStreamTest, SavesUpASmallBurstAndNoMore) {
  for (const uint64_t idle_ns : {0u, 3'600u}) {
    clock_.advance_ns(idle_ns * kSecond);
    const auto slow = stream(std::make_shared<RateBucket>(1'000'000'000));
    uint64_t burst = 0;
    while (const size_t got = read(*slow)) burst += got;
    EXPECT_NEAR(static_cast<double>(burst), RateBucket::kBurstBytesMin, 1);
  }
  const auto fast = stream(std::make_shared<RateBucket>(100'000'000'000));
  uint64_t burst = 0;
  while (const size_t got = read(*fast)) burst += got;
  EXPECT_NEAR(static_cast<double>(burst), 25'000'000, 65536) << "2 ms of it";
}

TEST_F(ThrottledStreamTest, SaysWhenToComeBack) {
  const auto limited = stream(std::make_shared<RateBucket>(10'000'000'000));
  EXPECT_EQ(limited->input_held_until_ns(), 0u);
  while (read(*limited) > 0) continue;
  for (int i = 0; i < 100; ++i) {
    const uint64_t until_ns = limited->input_held_until_ns();
    ASSERT_GT(until_ns, clock_.now_ns() + 10'000) << "not for a few bytes";
    clock_.advance_ns(until_ns - 100 - clock_.now_ns());
    ASSERT_EQ(read(*limited), 0u);
    clock_.advance_ns(100);
    ASSERT_GT(read(*limited), 60'000u);
    ASSERT_EQ(limited->input_held_until_ns(), 0u);
    while (read(*limited) > 0) continue;
  }
  limited->close();
  EXPECT_EQ(limited->input_held_until_ns(), 0u);
}

TEST_F(ThrottledStreamTest, OneBucketIsSharedByAll) {
  const auto bucket = std::make_shared<RateBucket>(1'000'000'000);
  const auto one = stream(bucket), other = stream(bucket);
  while (read(*one) > 0) continue;
  uint64_t bytes = 0;
  for (int i = 0; i < 10'000; ++i) {
    clock_.advance_ns(100'000);
    bytes += read(i % 2 == 0 ? *one : *other);
  }
  EXPECT_NEAR(static_cast<double>(bytes), 125e6, 125e3);
}

TEST_F(ThrottledStreamTest, WhatDidNotComeIsNotCharged) {
  const auto bucket = std::make_shared<RateBucket>(1'000'000'000);
  const auto poor = stream(bucket, 100);
  EXPECT_EQ(read(*poor), 100u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(read(*poor), 0u);
  const auto rich = stream(bucket);
  EXPECT_NEAR(static_cast<double>(read(*rich)), static_cast<double>(RateBucket::kBurstBytesMin - 100), 1);
}

}  // namespace
}  // namespace shadowserve
