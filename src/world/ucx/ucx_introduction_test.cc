// The first bytes of a stranger: only the right ones lead on, and none of them wait for ever.
#include "world/ucx/ucx_introduction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "world/stream_trial.h"

namespace shadowserve {
namespace {

using Ticks = std::chrono::steady_clock;

UcxPatience patience(int milliseconds) {
  return {Ticks::now() + std::chrono::milliseconds(milliseconds), [] { return false; }};
}

Result<size_t> head_of(std::vector<std::byte> bytes, int& why) {
  return read_introduction_head(std::span(bytes).first<kUcxIntroductionHeadBytes>(), why);
}

TEST(UcxIntroduction, HeadsAreReadBackAndAnyFlippedBitIsNoticed) {
  const std::vector<std::byte> good = pack_introduction({0, std::vector<std::byte>(300)});
  const std::vector<std::byte> refusal = pack_introduction({ECONNREFUSED, {}});
  int why = 7;
  EXPECT_EQ(head_of(good, why), size_t{300});
  EXPECT_EQ(why, 0);
  EXPECT_EQ(head_of(refusal, why), size_t{0});
  EXPECT_EQ(why, ECONNREFUSED);
  for (size_t bit = 0; bit < 20 * 8; ++bit) {  // format and errno
    std::vector<std::byte> bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    EXPECT_FALSE(head_of(bad, why)) << bit;
  }
  for (const uint32_t size : {0u, 65'537u, 0xffffffffu}) {
    std::vector<std::byte> bad = good;
    for (size_t i = 0; i < 4; ++i) bad[20 + i] = static_cast<std::byte>(size >> (8 * i));
    EXPECT_FALSE(head_of(bad, why)) << size;
  }
}

class Strangers : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(stream_.connect(listener_.address()));
    ASSERT_TRUE(become_ready(stream_));
    peer_ = listener_.accept();
  }
  void TearDown() override { ::close(peer_); }
  void say(std::span<const std::byte> bytes) {
    ASSERT_EQ(write(peer_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  Listener listener_;
  TcpStream stream_;
  UcxIntroduction heard_;
  int peer_ = -1;
};

TEST_F(Strangers, WhoSayTheRightThingAreHeard) {  // the control of those below
  const std::vector<std::byte> address(300, std::byte{9});
  say(pack_introduction({0, address}));
  EXPECT_EQ(hear_introduction(stream_, heard_, patience(2000)), 0);
  EXPECT_EQ(heard_.address, address);
}

TEST_F(Strangers, AreKnownByTheirFirstBytes) {
  for (const char byte : {'+', '-'}) say(std::as_bytes(std::span(&byte, 1)));
  say(std::vector<std::byte>(2, std::byte{'E'}));
  EXPECT_EQ(hear_introduction(stream_, heard_, patience(2000)), EPROTO) << "four bytes are enough";
}

TEST_F(Strangers, WhoSayNothingAreNotWaitedForWithoutEnd) {
  EXPECT_EQ(hear_introduction(stream_, heard_, patience(60)), ETIMEDOUT);
}

TEST_F(Strangers, WhoStopInTheMiddleAreNotWaitedForEither) {
  const std::vector<std::byte> whole = pack_introduction({0, std::vector<std::byte>(300)});
  say(std::span(whole).first(200));
  EXPECT_EQ(hear_introduction(stream_, heard_, patience(60)), ETIMEDOUT);
}

TEST_F(Strangers, WhoHangUpEndIt) {
  ::close(peer_);
  peer_ = -1;
  EXPECT_EQ(hear_introduction(stream_, heard_, patience(2000)), ECONNRESET);
}

TEST_F(Strangers, AreForgottenWhenNobodyWantsThemAnyMore) {
  const auto begin = Ticks::now();
  const UcxPatience short_of_it{begin + std::chrono::seconds(30), [] { return true; }};
  EXPECT_EQ(hear_introduction(stream_, heard_, short_of_it), ETIMEDOUT);
  EXPECT_LT(Ticks::now() - begin, std::chrono::seconds(5));
}

}  // namespace
}  // namespace shadowserve
