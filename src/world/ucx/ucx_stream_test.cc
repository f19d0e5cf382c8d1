// What only the stream over UCX promises: connecting elsewhere, no allocations, and an end whatever the peer
// is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>

#include "memory/frozen_heap.h"
#include "world/receive_choice.h"
#include "world/stream_trial.h"

namespace shadowserve {
namespace {

using Ticks = std::chrono::steady_clock;

/// Drives connecting for this long at most, sleeping as a thread of the plane does.
std::optional<bool> become_ready_within(Stream& stream, std::chrono::milliseconds patience) {
  const auto deadline = Ticks::now() + patience;
  while (Ticks::now() < deadline) {
    const Result<bool> ready = stream.ready();
    if (!ready) return false;
    if (*ready) return true;
    pollfd entry{.fd = stream.fd(), .events = POLLIN, .revents = 0};
    ::poll(&entry, 1, 100);
  }
  return std::nullopt;
}

template <typename Done>
bool eventually(Done done, int milliseconds = 3000) {
  for (int i = 0; i < milliseconds && !done(); ++i) usleep(1000);
  return done();
}

class UcxStreamTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    auto made = UcxStream::create(why);
    if (!made) GTEST_SKIP() << why;
    stream_ = std::move(*made);
    relay_ = std::make_unique<RelayThread>(std::vector<StreamAddress>{listener_.address()});
    ASSERT_TRUE(relay_->there()) << relay_->why;
    there_ = relay_->address();
  }
  void TearDown() override {
    if (peer_ >= 0) ::close(peer_);
  }
  void meet() {
    ASSERT_TRUE(stream_->connect(there_));
    ASSERT_EQ(become_ready_within(*stream_, std::chrono::seconds(3)), true) << stream_->why();
    peer_ = listener_.accept();
  }
  void part() {
    stream_->close();
    ::close(std::exchange(peer_, -1));
  }
  bool knocked(int milliseconds) {
    pollfd entry{.fd = listener_.fd(), .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, milliseconds) == 1;
  }
  Result<size_t> look() {
    const iovec part{into_.data(), into_.size()};
    return stream_->readv({&part, 1});
  }
  /// All that comes, until so much did.
  bool hear(size_t bytes) {
    const auto deadline = Ticks::now() + std::chrono::seconds(5);
    while (bytes > 0 && Ticks::now() < deadline) {
      const Result<size_t> got = look();
      if (!got) return false;
      bytes -= std::min(bytes, *got);
      if (*got > 0 || stream_->has_input()) continue;
      pollfd entry{.fd = stream_->fd(), .events = POLLIN, .revents = 0};
      ::poll(&entry, 1, 100);
    }
    return bytes == 0;
  }
  /// Questions and answers of all sizes. False when something failed.
  bool talk(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      const size_t asked = 1 + static_cast<size_t>(i) * 37 % 5000;
      const iovec question{from_.data(), asked};
      if (stream_->writev({&question, 1}) != asked) return false;
      for (size_t got = 0, turns = 0; got < asked; ++turns) {
        const ssize_t some = recv(peer_, heard_.data(), asked - got, MSG_DONTWAIT);
        if (some > 0) got += static_cast<size_t>(some);
        if (some == 0 || turns > 100'000 || !stream_->flush()) return false;
        if (some < 0) usleep(50);
      }
      const size_t answered = size_t{1} << (i % 18);
      if (write(peer_, heard_.data(), answered) != static_cast<ssize_t>(answered) || !hear(answered))
        return false;
    }
    return true;
  }
  Listener listener_;
  std::unique_ptr<RelayThread> relay_;
  std::unique_ptr<Stream> stream_;
  std::vector<std::byte> into_ = std::vector<std::byte>(100'000), from_ = into_;
  std::vector<std::byte> heard_ = std::vector<std::byte>(1 << 18);
  StreamAddress there_;
  int peer_ = -1;
};

TEST_F(UcxStreamTest, AllocatesNothingOnTheThreadThatUsesIt) {
  if (!heap_is_watched()) GTEST_SKIP() << "sanitizers bring an allocator of their own";
  for (int i = 0; i < 5; ++i) {
    const uint64_t before = frozen_allocations();
    freeze_heap_on_this_thread();
    meet();
    const uint64_t met = frozen_allocations();
    const bool well = talk(200);
    const uint64_t talked = frozen_allocations();
    part();
    const uint64_t parted = frozen_allocations();
    delete new volatile int(1);  // the negative control
    const uint64_t seen = frozen_allocations();
    thaw_heap_on_this_thread();
    EXPECT_TRUE(well);
    EXPECT_EQ(met - before, 0u) << "connecting, time " << i;
    EXPECT_EQ(talked - met, 0u) << "bytes, time " << i;
    EXPECT_EQ(parted - talked, 0u) << "closing, time " << i;
    EXPECT_EQ(seen - parted, 1u);
  }
}

TEST_F(UcxStreamTest, ConnectAndCloseKeepNobodyWaiting) {
  std::vector<int64_t> took_us;
  for (int i = 0; i < 20; ++i) {
    const auto begin = Ticks::now();
    ASSERT_TRUE(stream_->connect(there_));
    auto spent = Ticks::now() - begin;
    ASSERT_EQ(become_ready_within(*stream_, std::chrono::seconds(3)), true);
    const auto end = Ticks::now();
    stream_->close();
    spent += Ticks::now() - end;
    ::close(listener_.accept());
    took_us.push_back(std::chrono::duration_cast<std::chrono::microseconds>(spent).count());
  }
  std::sort(took_us.begin(), took_us.end());
  EXPECT_LT(took_us[10], 5'000) << "the middle one; a busy machine makes any single one slow";
}

TEST_F(UcxStreamTest, AClosedDialLeavesNothingBehind) {
  for (int i = 0; i < 60; ++i) {
    const auto begun = stream_->connect(relay_->address());
    if (!begun) {
      EXPECT_EQ(stream_->why(), EAGAIN) << "more than its thread could take";
    }
    if (i % 3 == 1) usleep(10'000);
    if (i % 3 == 2) usleep(25'000);
    stream_->close();
  }
  EXPECT_TRUE(eventually([&] { return relay_->relay().counts().open == 0; }))
      << "a connection that nobody has";
  EXPECT_GT(relay_->relay().counts().accepted, 0u) << "the control: some of them got through";
  usleep(200'000);
  while (knocked(0)) ::close(listener_.accept());
  meet();
  EXPECT_TRUE(talk(5));
}

TEST_F(UcxStreamTest, IsToldThatTheRelayIsGoneAndComesBackToTheNextOne) {
  for (int i = 0; i < 3; ++i) {
    meet();
    ASSERT_TRUE(talk(5));
    const uint16_t port = relay_->port();
    relay_.reset();
    const uint64_t before = frozen_allocations();
    freeze_heap_on_this_thread();
    const bool told = eventually([&] { return !look(); });
    const uint64_t allocated = frozen_allocations() - before;
    thaw_heap_on_this_thread();
    EXPECT_TRUE(told);
    if (heap_is_watched()) {
      EXPECT_EQ(allocated, 0u) << "hearing of it";
    }
    EXPECT_NE(stream_->why(), 0);
    EXPECT_FALSE(send_text(*stream_, "into the void"));
    part();
    relay_ = std::make_unique<RelayThread>(std::vector<StreamAddress>{listener_.address()}, port);
    ASSERT_TRUE(relay_->there()) << relay_->why;
  }
  meet();
  EXPECT_TRUE(talk(5));
}

TEST_F(UcxStreamTest, ARelayThatIsNotThereIsRefused) {
  relay_.reset();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream_->connect(there_));
    EXPECT_EQ(become_ready_within(*stream_, std::chrono::seconds(4)), false);
    EXPECT_EQ(stream_->why(), ECONNREFUSED);
    stream_->close();
  }
}

TEST_F(UcxStreamTest, AServerThatDoesNotSpeakUcxHurtsNobody) {
  for (const std::string& said :
       {std::string(), std::string("-ERR unknown command\r\n"), std::string(4000, '\0'),
        std::string(4000, '\xff'), std::string("hang up")}) {
    ASSERT_TRUE(stream_->connect(listener_.address()));
    ASSERT_TRUE(knocked(2000));
    peer_ = listener_.accept();
    if (said == "hang up") {
      ::close(std::exchange(peer_, -1));
    } else {
      ASSERT_EQ(send(peer_, said.data(), said.size(), MSG_NOSIGNAL), static_cast<ssize_t>(said.size()));
    }
    EXPECT_EQ(become_ready_within(*stream_, std::chrono::seconds(5)), false) << said.substr(0, 20);
    EXPECT_NE(stream_->why(), 0);
    stream_->close();
    if (peer_ >= 0) ::close(std::exchange(peer_, -1));
  }
  meet();  // the control
  EXPECT_TRUE(talk(5));
}

TEST_F(UcxStreamTest, ARelayTakesNoMoreThanItMay) {
  RelayThread small({listener_.address()}, 0, 1);
  ASSERT_TRUE(small.there());
  ASSERT_TRUE(stream_->connect(small.address()));
  ASSERT_EQ(become_ready_within(*stream_, std::chrono::seconds(3)), true);
  peer_ = listener_.accept();
  std::string why;
  auto second = UcxStream::create(why);
  ASSERT_TRUE(second);
  ASSERT_TRUE((*second)->connect(small.address()));
  EXPECT_EQ(become_ready_within(**second, std::chrono::seconds(5)), false);
  EXPECT_EQ(small.relay().counts().refused, 1u);
  EXPECT_TRUE(talk(5)) << "the first one stays";
  (*second)->close();
  part();
  ASSERT_TRUE(eventually([&] { return small.relay().counts().open == 0; }));
  ASSERT_TRUE((*second)->connect(small.address()));
  EXPECT_EQ(become_ready_within(**second, std::chrono::seconds(5)), true)
      << "the control: there is room again";
}

TEST_F(UcxStreamTest, ARelayOutlivesStrangers) {
  for (const std::string& said : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(5000, '\0'),
                                  std::string(5000, '\xff'), std::string()}) {
    TcpStream stranger;
    ASSERT_TRUE(stranger.connect(there_));
    ASSERT_TRUE(become_ready(stranger));
    send_text(stranger, said);
    usleep(20'000);
    stranger.close();
  }
  meet();
  EXPECT_TRUE(talk(5));
}

TEST(UcxChoice, IsWhatWasAskedForWhereItIsInstalled) {
  const UcxFinding finding = find_ucx();
  if (!finding.usable) GTEST_SKIP() << finding.found;
  const ReceiveChoice choice = choose_receive(kReceiveUcx);
  EXPECT_EQ(choice.name, kReceiveUcx);
  EXPECT_EQ(choice.warning, "");
  EXPECT_THAT(choice.found, testing::HasSubstr("UCX 1."));
  EXPECT_NE(dynamic_cast<UcxStream*>(choice.make_stream().get()), nullptr);
}

}  // namespace
}  // namespace shadowserve
