// An engine whose data plane has the right certificate and does everything else wrong.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "link/network_engine.h"
#include "wire/network/network_frame.h"
#include "wire/network/tls_stream.h"
#include "world/stopwatch_trial.h"

namespace shadowserve {
namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes_of(std::span<const std::byte> frame) { return {frame.begin(), frame.end()}; }

/// Takes one connection after the other, and says `words` once it has heard a hello.
class FalsePlane {
 public:
  explicit FalsePlane(const TestKeys& keys) {
    std::string message;
    identity_ = *TlsIdentity::load(keys.plane, TlsSide::kPlane, message);
    PlaneAddress address;
    address.host = "127.0.0.1";
    listener_ = *listen_tcp(address, message);
    SocketAddress bound;
    bound.size = sizeof bound.storage;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size);
    port = ntohs(reinterpret_cast<sockaddr_in&>(bound.storage).sin_port);
  }
  ~FalsePlane() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    close(listener_);
  }
  void start() {
    thread_ = std::thread([this] {
      while (!stop_) {
        const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
          ++connections;
          serve(TlsStream(fd, *identity_, {}));
        }
        usleep(1000);
      }
    });
  }

  std::function<Bytes(int connection)> words = [](int) { return Bytes(); };
  bool answers_pings = true;
  bool closes_after_the_handshake = false;
  uint16_t port = 0;
  std::atomic<int> connections{0};

 private:
  void serve(TlsStream stream) {
    FrameReader reader(FrameSide::kPlane);
    while (!stop_ && stream.step()) {
      if (closes_after_the_handshake && stream.ready()) return;
      const ssize_t got = stream.read(reader.room());
      if (got < 0) return;
      reader.took(static_cast<size_t>(got));
      while (reader.next() == FrameEvent::kFrame) {
        if (reader.type() == FrameType::kHello) stream.queue(words(connections));
        if (reader.type() == FrameType::kPing && answers_pings)
          stream.queue(frame_ping(FrameType::kPong, read_ping(reader.payload())));
      }
      usleep(500);
    }
  }
  std::shared_ptr<const TlsIdentity> identity_;
  int listener_ = -1;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class NetworkFalsePlane : public testing::Test {
 protected:
  /// Connections that the engine made within the time, while it asked all along and had its answers in time.
  /// Where the machine stands still meanwhile, it takes longer: that much is in `more_ms`.
  int connections_within(int ms, uint32_t* connected = nullptr) {
    plane.start();
    const NetworkOptions options(keys, plane.port);
    char message[256] = "";
    ss_lookup* const lookup = ss_lookup_open(&options.options, message, sizeof message);
    EXPECT_NE(lookup, nullptr) << message;
    const std::vector<uint8_t> key(SS_KEY_BYTES);
    const auto began = std::chrono::steady_clock::now();
    const Stopwatch took;
    for (uint64_t id = 1; took.elapsed() < std::chrono::milliseconds(ms); ++id) {
      ss_lookup_start(lookup, id, key.data(), 1);
      EXPECT_TRUE(eventually([&] { return ss_lookup_poll(lookup, id) != SS_PENDING; }, 400))
          << "nothing hangs";
      EXPECT_EQ(ss_lookup_poll(lookup, id), 0);
      ss_lookup_forget(lookup, id);
      usleep(5000);
    }
    ss_lookup_stats stats{};
    ss_lookup_read_stats(lookup, &stats);
    if (connected != nullptr) *connected = stats.connected;
    ss_lookup_close(lookup);
    const int connections = plane.connections;
    const std::chrono::duration<double, std::milli> all = std::chrono::steady_clock::now() - began;
    more_ms = std::max(0, static_cast<int>(all.count()) - ms);
    return connections;
  }
  static Bytes welcome() { return frame_welcome({1024, 1}); }

  const TestKeys keys;
  FalsePlane plane{keys};
  int more_ms = 0;
};

TEST_F(NetworkFalsePlane, OneThatWelcomesAndAnswersPingsIsKept) {  // the negative control of all others
  plane.words = [](int) { return welcome(); };
  uint32_t connected = 0;
  EXPECT_EQ(connections_within(900, &connected), 1);
  EXPECT_EQ(connected, 1u);
}

TEST_F(NetworkFalsePlane, OneThatClosesIsTriedAgainLaterAndLater) {
  plane.closes_after_the_handshake = true;
  const int tries = connections_within(1500);
  EXPECT_GE(tries, 3);
  EXPECT_LE(tries, 7 + more_ms / 50) << "50, 100, 200, 400 ms";
}

TEST_F(NetworkFalsePlane, OneThatFallsSilentIsLeft) {
  plane.words = [](int) { return welcome(); };
  plane.answers_pings = false;
  uint32_t connected = 1;
  EXPECT_GE(connections_within(2500, &connected), 2);
}

TEST_F(NetworkFalsePlane, OneThatNeverWelcomesIsLeft) { EXPECT_GE(connections_within(2700), 2); }

TEST_F(NetworkFalsePlane, AnotherVersionsWordsAreRefused) {
  plane.words = [](int) {
    Bytes words = welcome();
    words[4] = std::byte{7};
    return words;
  };
  uint32_t connected = 1;
  EXPECT_GE(connections_within(800, &connected), 2);
  EXPECT_EQ(connected, 0u);
}

TEST_F(NetworkFalsePlane, ARefusalIsAskedAgainOnlyOnceASecond) {
  plane.words = [](int) { return frame_goodbye(Error::kConfig, "not today"); };
  const int tries = connections_within(900);
  EXPECT_LE(tries, 1 + (more_ms + 900) / 1000);
}

TEST_F(NetworkFalsePlane, AWelcomeWithoutRoomOrTwiceBreaksTheRules) {
  plane.words = [](int connection) {
    Bytes words = connection % 2 == 0 ? frame_welcome({0, 1}) : welcome();
    const Bytes again = welcome();
    words.insert(words.end(), again.begin(), again.end());
    return words;
  };
  EXPECT_GE(connections_within(800), 2);
}

TEST_F(NetworkFalsePlane, AnswersToNothingEndTheLink) {
  plane.words = [](int) {
    Bytes words = welcome();
    BatchBuffer buffer;
    for (int i = 0; i < 20; ++i) {
      const Bytes batch = bytes_of(frame_replies(std::vector<LinkReply>(kBatchMax), buffer));
      words.insert(words.end(), batch.begin(), batch.end());
    }
    return words;
  };
  EXPECT_GE(connections_within(800), 2);
}

TEST_F(NetworkFalsePlane, DamagedStreamsHarmNobody) {
  plane.words = [](int connection) {
    std::mt19937 random(static_cast<uint32_t>(connection));
    Bytes words = welcome();
    BatchBuffer buffer;
    const Bytes batch = bytes_of(frame_replies(std::vector<LinkReply>(5), buffer));
    words.insert(words.end(), batch.begin(), batch.end());
    for (int n = 0; n < 3; ++n) words[random() % 40] = static_cast<std::byte>(random());
    return words;
  };
  EXPECT_GE(connections_within(2000), 3);
}

}  // namespace
}  // namespace shadowserve
