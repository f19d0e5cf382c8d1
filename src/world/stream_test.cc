// What every stream promises, tried on all of them over loopback, and their faulty twin.
#include "world/stream.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>

#include "world/stream_faulty.h"
#include "world/stream_trial.h"

namespace shadowserve {
namespace {

Result<size_t> receive(Stream& stream, std::string& out) {
  std::array<char, 100> one;
  std::array<char, 5> other;
  const std::array<iovec, 2> parts = {{{other.data(), other.size()}, {one.data(), one.size()}}};
  const Result<size_t> got = stream.readv(parts);
  if (got) {
    out.append(other.data(), std::min<size_t>(*got, 5));
    if (*got > 5) out.append(one.data(), *got - 5);
  }
  return got;
}

/// Bytes that can be told apart wherever they are.
std::vector<std::byte> pattern(size_t bytes) {
  std::vector<std::byte> out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>((i * 2654435761u) >> 13);
  return out;
}

class EveryStream : public testing::TestWithParam<std::string>, protected Meeting<Stream> {
 protected:
  void SetUp() override {
    std::string why;
    stream_ = make_trial_stream(GetParam(), why);
    if (stream_ == nullptr) GTEST_SKIP() << why;
  }
  /// Until something came, for a second at most; like a thread that sleeps on fd().
  Result<size_t> wait_for(std::string& text) {
    for (int i = 0; i < 100; ++i) {
      const Result<size_t> got = receive(*stream_, text);
      if (!got || *got > 0) return got;
      if (stream_->has_input()) continue;
      pollfd entry{.fd = stream_->fd(), .events = POLLIN, .revents = 0};
      ::poll(&entry, 1, 10);
    }
    return size_t{0};
  }
};

TEST_P(EveryStream, MovesBytesBothWaysAndEnds) {
  EXPECT_EQ(stream_->fd(), -1);
  meet();
  std::string text;
  EXPECT_EQ(receive(*stream_, text), size_t{0}) << "nothing there, and no waiting";
  EXPECT_EQ(send_text(*stream_, "hello"), size_t{5});
  char heard[5];
  ASSERT_EQ(read(peer_, heard, 5), 5);
  ASSERT_EQ(write(peer_, "hello, too", 10), 10);
  while (text.size() < 10) ASSERT_TRUE(receive(*stream_, text));
  EXPECT_EQ(text, "hello, too");
  ::close(std::exchange(peer_, -1));
  Result<size_t> got = size_t{0};
  for (int i = 0; i < 1000 && got; ++i) got = receive(*stream_, text), usleep(1000);
  ASSERT_FALSE(got);
  EXPECT_EQ(stream_->why(), 0);
  for (int i = 0; i < 1000 && send_text(*stream_, "into the void"); ++i) usleep(1000);  // EPIPE, not a signal
  EXPECT_FALSE(send_text(*stream_, "x"));
}

TEST_P(EveryStream, MayConnectAgain) {
  for (int i = 0; i < 20; ++i) {
    meet();
    ASSERT_EQ(write(peer_, "left over", 9), 9);
    if (i % 2 == 0) {
      std::string text;
      ASSERT_TRUE(wait_for(text)) << "of this connection";
      EXPECT_EQ(text, "left over");
    }
    stream_->close();
    EXPECT_EQ(stream_->fd(), -1);
    ::close(std::exchange(peer_, -1));
  }
}

TEST_P(EveryStream, SaysThatNobodyListens) {
  StreamAddress nobody;
  { nobody = Listener().address(); }
  for (int i = 0; i < 3; ++i) {
    const bool started = stream_->connect(nobody).has_value();
    EXPECT_FALSE(started && become_ready(*stream_));
    EXPECT_EQ(stream_->why(), ECONNREFUSED);
    stream_->close();
  }
}

TEST_P(EveryStream, TellsThePeerAtOnceThatItIsClosed) {
  meet();
  std::string text;
  ASSERT_EQ(receive(*stream_, text), size_t{0});  // something may be watching now
  stream_->close();
  pollfd entry{.fd = peer_, .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&entry, 1, 1000), 1);
  char byte;
  EXPECT_EQ(read(peer_, &byte, 1), 0);
}

TEST_P(EveryStream, TellsOfTheEndBehindBytes) {
  for (int i = 0; i < 50; ++i) {
    meet();
    std::string text;
    if (i % 3 == 1) {
      ASSERT_EQ(receive(*stream_, text), size_t{0});
    }
    ASSERT_EQ(write(peer_, "goodbye", 7), 7);
    if (i % 3 == 2) {
      ASSERT_TRUE(wait_for(text));
    }
    ::close(std::exchange(peer_, -1));
    Result<size_t> got = size_t{0};
    for (int looks = 0; looks < 3 && got; ++looks) got = wait_for(text);
    EXPECT_FALSE(got) << i;
    EXPECT_EQ(stream_->why(), 0);
    EXPECT_EQ(text, "goodbye");
    stream_->close();
  }
}

TEST_P(EveryStream, TellsOfAReset) {
  meet();
  std::string text;
  ASSERT_EQ(receive(*stream_, text), size_t{0});
  const linger hard{1, 0};
  setsockopt(peer_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  ::close(std::exchange(peer_, -1));
  EXPECT_FALSE(wait_for(text));
  EXPECT_EQ(stream_->why(), ECONNRESET);
}

// A stream that the kernel writes for behind its caller's back would be one that damages slots.
TEST_P(EveryStream, LeavesMemoryAloneBetweenCalls) {
  meet();
  std::vector<std::byte> memory(2 << 20, std::byte{7});
  stream_->use_memory(memory);
  const iovec whole{memory.data(), memory.size()};
  for (int i = 0; i < 20; ++i) {
    const Result<size_t> nothing = stream_->readv({&whole, 1});
    ASSERT_EQ(nothing, size_t{0});
    ASSERT_EQ(write(peer_, "bytes for another place", 23), 23);
    usleep(2'000);
    ASSERT_EQ(std::count(memory.begin(), memory.end(), std::byte{7}), 2 << 20) << i;
    std::string text;
    while (text.size() < 23) ASSERT_TRUE(wait_for(text));
    EXPECT_EQ(text, "bytes for another place");
  }
  ASSERT_EQ(write(peer_, "x", 1), 1);  // the negative control: this is how it would look
  usleep(2'000);
  for (int i = 0; i < 100 && memory[0] == std::byte{7}; ++i) ASSERT_TRUE(stream_->readv({&whole, 1}));
  EXPECT_EQ(memory[0], std::byte{'x'});
}

// Into registered memory with a place behind it, as the RESP reader asks: no gap, whatever comes when.
TEST_P(EveryStream, ReceivesInOrderIntoTwoPlaces) {
  std::vector<std::byte> memory(8 << 20);
  stream_->use_memory(memory);
  meet();
  const std::vector<std::byte> sent = pattern(24 << 20);
  std::thread writer([&] {
    size_t at = 0;
    for (size_t i = 0; at < sent.size(); ++i) {
      const size_t some = std::min<size_t>(sent.size() - at, 1 + (i * 7919) % 300'000);
      const ssize_t wrote = ::send(peer_, sent.data() + at, some, MSG_NOSIGNAL);
      if (wrote <= 0) return;
      at += static_cast<size_t>(wrote);
      if (i % 7 == 0) usleep(100);
    }
  });
  std::vector<std::byte> all, tail(4096);
  all.reserve(sent.size());
  Result<size_t> got = size_t{0};
  for (size_t i = 0; all.size() < sent.size() && got; ++i) {
    const size_t first = 1 + (i * 104'729) % (1 << 20);
    const iovec parts[2] = {{memory.data() + (i * 4096) % (4 << 20), first}, {tail.data(), tail.size()}};
    got = stream_->readv(parts);
    if (!got) break;
    const auto* begin = static_cast<const std::byte*>(parts[0].iov_base);
    all.insert(all.end(), begin, begin + std::min(*got, first));
    if (*got > first) all.insert(all.end(), tail.begin(), tail.begin() + static_cast<long>(*got - first));
    if (*got > 0 || stream_->has_input()) continue;
    pollfd entry{.fd = stream_->fd(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&entry, 1, 2000), 1) << "stuck at " << all.size();
  }
  stream_->close();
  writer.join();
  EXPECT_TRUE(all == sent) << all.size();
}

TEST_P(EveryStream, SendsWhatFitsAndTheRestWhenThereIsRoom) {
  meet();
  const std::vector<std::byte> data = pattern(24 << 20);
  size_t sent = 0, refusals = 0, heard = 0;
  std::vector<std::byte> there(data.size());
  for (int turns = 0; heard < data.size() && turns < 100'000; ++turns) {
    // Small pieces among large ones: what is kept goes out before what is not.
    const size_t some = std::min(data.size() - sent, turns % 3 == 0 ? size_t{100} : size_t{500'000});
    const iovec part{const_cast<std::byte*>(data.data()) + sent, some};
    const Result<size_t> wrote = some == 0 ? size_t{0} : stream_->writev({&part, 1});
    ASSERT_TRUE(wrote);
    sent += *wrote;
    std::string nothing;
    ASSERT_EQ(receive(*stream_, nothing), size_t{0});
    refusals += *wrote < some ? 1 : 0;
    if (some > 0 && *wrote == 0) {
      pollfd entry{.fd = stream_->fd(), .events = POLLOUT, .revents = 0};
      EXPECT_EQ(::poll(&entry, 1, 0), 0) << "refused, though there is room";
    }
    if (*wrote < some || some == 0) {  // full: the peer reads, and reads all in the end
      const ssize_t got =
          recv(peer_, there.data() + heard, std::min<size_t>(there.size() - heard, 3 << 20), MSG_DONTWAIT);
      if (got > 0) heard += static_cast<size_t>(got);
      usleep(50);
    }
  }
  EXPECT_EQ(sent, data.size());
  EXPECT_TRUE(there == data);
  EXPECT_GT(refusals, 0u) << "nothing was ever full";
}

TEST_P(EveryStream, IsSlowedByItsFaultyTwin) {
  FaultyStream stream(
      std::move(stream_),
      {.seed = 5, .transfer_bytes_max = 3, .stall = 0.3, .reset_after_bytes = 200, .refused_connects = 2});
  EXPECT_FALSE(stream.connect(listener_.address()));
  EXPECT_FALSE(stream.connect(listener_.address()));
  EXPECT_EQ(stream.why(), ECONNREFUSED);
  ASSERT_TRUE(stream.connect(listener_.address()));
  ASSERT_TRUE(become_ready(stream));
  size_t stalls = 0, bytes = 0;
  Result<size_t> sent = size_t{0};
  while ((sent = send_text(stream, "0123456789"))) {
    EXPECT_LE(*sent, 3u);
    stalls += *sent == 0 ? 1 : 0;
    bytes += *sent;
  }
  EXPECT_EQ(stream.why(), ECONNRESET);
  EXPECT_GT(stalls, 0u);
  EXPECT_LE(bytes, 400u);
}

INSTANTIATE_TEST_SUITE_P(Streams, EveryStream, testing::ValuesIn(kTrialStreams),
                         [](const auto& info) { return info.param; });

TEST(Resolve, FindsAddressesAndSaysWhatIsWrong) {
  std::string message;
  EXPECT_TRUE(resolve_stream("localhost", 1, message));
  EXPECT_FALSE(resolve_stream("no-such-host.invalid", 1, message));
  EXPECT_NE(message.find("no-such-host.invalid"), std::string::npos);
}

}  // namespace
}  // namespace shadowserve
