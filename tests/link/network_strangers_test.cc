// Whoever connects to a data plane's port without being its engine, and what either side says about it.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "link/network_engine.h"
#include "wire/network/network_frame.h"
#include "wire/network/tls_stream.h"
#include "world/stopwatch_trial.h"

namespace shadowserve {
namespace {

using Bytes = std::vector<std::byte>;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

int connect_to(uint16_t port) {
  std::string message;
  PlaneAddress address;
  address.host = "127.0.0.1";
  address.port = port;
  return start_connect_tcp(resolve_plane_address(address, message)->front());
}

/// True when the other side closed within the time.
bool is_closed_within(int fd, milliseconds most) {
  const auto by = steady_clock::now() + most;
  while (steady_clock::now() < by) {
    pollfd wait{fd, POLLIN, 0};
    poll(&wait, 1, 20);
    char bytes[4096];
    const ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return true;
  }
  return false;
}

/// An engine of the CA that says what a test tells it to.
class Speaker {
 public:
  Speaker(const TestKeys& keys, uint16_t port) {
    std::string message;
    identity_ = *TlsIdentity::load(keys.engine, TlsSide::kEngine, message);
    stream_ = TlsStream(connect_to(port), *identity_, "127.0.0.1");
  }
  void say(std::span<const std::byte> bytes) { stream_.queue(bytes); }
  /// Speaks and listens until the other side said goodbye, or closed, or the time is over.
  std::string listen_for_goodbye(int most_ms = 8000) {
    for (int i = 0; i < most_ms; ++i) {
      if (!stream_.step()) return "closed: " + stream_.reason();
      const ssize_t got = stream_.read(reader_.room());
      if (got < 0) return "closed: " + stream_.reason();
      reader_.took(static_cast<size_t>(got));
      while (reader_.next() == FrameEvent::kFrame) {
        if (reader_.type() == FrameType::kWelcome) ++welcomes;
        if (reader_.type() == FrameType::kReplies) replies += reader_.payload().size() / sizeof(LinkReply);
        if (reader_.type() == FrameType::kPing && answers_pings)
          say(frame_ping(FrameType::kPong, read_ping(reader_.payload())));
        if (reader_.type() == FrameType::kGoodbye) return read_goodbye(reader_.payload()).sentence;
      }
      usleep(1000);
    }
    return "";
  }
  int welcomes = 0;
  size_t replies = 0;
  bool answers_pings = true;

 private:
  std::shared_ptr<const TlsIdentity> identity_;
  TlsStream stream_;
  FrameReader reader_{FrameSide::kEngine};
};

NetworkHello lookup_hello(const char* profile = "raw") {
  NetworkHello hello;
  hello.hello.geometry = LinkGeometry::of({kLayers, kHeads, kDim, 256, ElementType::kBf16});
  std::strcpy(hello.hello.profile, profile);
  return hello;
}

class NetworkStrangers : public testing::Test {
 protected:
  /// The plane still serves whom it should.
  void expect_service() {
    const NetworkOptions options(keys, port);
    Engine engine(options.options);
    engine.compute(1);
    const auto chain = engine.chain(prompt(512, 1));
    engine.save(chain, table(0, 4));
    EXPECT_EQ(engine.stored(chain), 2);
  }
  uint64_t turned_away() const { return plane.stats()["network"]["turned_away"]; }

  const TestKeys keys;
  ThreadedPlane plane{network_plane_options(keys)};
  const uint16_t port = port_of(plane);
};

TEST_F(NetworkStrangers, PlainTcpIsTurnedAway) {
  const int fd = connect_to(port);
  usleep(10'000);
  const std::string words = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  ASSERT_EQ(send(fd, words.data(), words.size(), MSG_NOSIGNAL), static_cast<ssize_t>(words.size()));
  EXPECT_TRUE(is_closed_within(fd, milliseconds(1000)));
  close(fd);
  EXPECT_TRUE(eventually([&] { return turned_away() == 1; })) << "counted behind the close";
  expect_service();
}

TEST_F(NetworkStrangers, SilenceBeforeTheHandshakeAndAfterIt) {
  const int mute = connect_to(port);
  Speaker polite(keys, port);
  polite.listen_for_goodbye(100);  // shakes hands
  const auto started = steady_clock::now();
  const Stopwatch took;
  EXPECT_TRUE(is_closed_within(mute, milliseconds(4000))) << "2 s for the handshake";
  EXPECT_GT(steady_clock::now() - started, milliseconds(1500)) << "negative control: not at once";
  EXPECT_NE(polite.listen_for_goodbye().find("closed"), std::string::npos) << "5 s for a first frame";
  EXPECT_GT(steady_clock::now() - started, milliseconds(4000));
  EXPECT_LT(took.elapsed(), milliseconds(7500));
  close(mute);
  expect_service();
}

TEST_F(NetworkStrangers, AnotherVersionIsToldSo) {
  Speaker newer(keys, port);
  Bytes hello = frame_hello(lookup_hello());
  hello[4] = std::byte{2};
  newer.say(hello);
  EXPECT_EQ(newer.listen_for_goodbye(),
            "this data plane speaks version 1 of the link across machines, the engine 2");
  // Negative control. An engine that is silent for a second is let go; a machine may stand still as long,
  // hardly thrice.
  std::string goodbye = "not asked";
  for (int i = 0; i < 3 && !goodbye.empty(); ++i) {
    Speaker ours(keys, port);
    ours.say(frame_hello(lookup_hello()));
    goodbye = ours.listen_for_goodbye(500);
    EXPECT_EQ(ours.welcomes, 1);
  }
  EXPECT_EQ(goodbye, "");
}

TEST_F(NetworkStrangers, TheReceptionsSentencesReachTheEngine) {
  Speaker unknown(keys, port);
  unknown.say(frame_hello(lookup_hello("kv3")));
  EXPECT_EQ(unknown.listen_for_goodbye(), "unknown codec profile 'kv3'");
  Speaker thief(keys, port);
  NetworkHello hello = lookup_hello();
  hello.window.bytes = 4096;
  thief.say(frame_hello(hello));
  EXPECT_NE(thief.listen_for_goodbye().find("was not announced on the window"), std::string::npos);
}

TEST_F(NetworkStrangers, AWholeHouseSaysSo) {
  std::vector<std::unique_ptr<Speaker>> guests;
  for (uint32_t i = 0; i < kSessionsMax; ++i) {
    guests.push_back(std::make_unique<Speaker>(keys, port));
    guests.back()->say(frame_hello(lookup_hello()));
    guests.back()->listen_for_goodbye(20);
  }
  EXPECT_TRUE(eventually([&] {
    for (const auto& guest : guests) guest->listen_for_goodbye(1);
    return plane.stats()["sessions"].size() == kSessionsMax;
  }));
  Speaker late(keys, port);
  late.say(frame_hello(lookup_hello()));
  EXPECT_NE(late.listen_for_goodbye().find("all 16 sessions of this data plane are taken"),
            std::string::npos);
  guests.clear();
  EXPECT_TRUE(eventually([&] { return plane.stats()["sessions"].empty(); }));
  expect_service();
}

TEST_F(NetworkStrangers, WhoStopsListeningOrAsksTooMuchIsLetGo) {
  Speaker deaf(keys, port);
  deaf.say(frame_hello(lookup_hello()));
  deaf.listen_for_goodbye(100);
  ASSERT_EQ(deaf.welcomes, 1);
  const auto started = steady_clock::now();
  EXPECT_TRUE(eventually([&] { return plane.stats()["sessions"].empty(); }, 3000)) << "a second of silence";
  EXPECT_GT(steady_clock::now() - started, milliseconds(500));

  Speaker greedy(keys, port);
  greedy.say(frame_hello(lookup_hello()));
  greedy.listen_for_goodbye(100);
  ASSERT_EQ(greedy.welcomes, 1);
  BatchBuffer buffer;
  const std::vector<LinkRequest> nonsense(kBatchMax);  // deadlines that are over: all are answered
  for (int i = 0; i < 20; ++i) greedy.say(frame_requests(nonsense, 1, buffer));
  const std::string last = greedy.listen_for_goodbye(1500);
  EXPECT_TRUE(last.empty() ? greedy.replies == 20 * kBatchMax
                           : last.find("more requests") != std::string::npos)
      << last;
  expect_service();
}

// Good streams with damage behind the handshake: an engine of the CA that has gone mad.
TEST_F(NetworkStrangers, NonsenseInsideTlsHarmsNobody) {
  std::mt19937 random(20261122);
  const Bytes good = frame_hello(lookup_hello());
  BatchBuffer buffer;
  const std::vector<LinkRequest> requests(30);
  const auto batch = frame_requests(requests, 1, buffer);
  for (int i = 0; i < 60; ++i) {
    Bytes bytes = good;
    bytes.insert(bytes.end(), batch.begin(), batch.end());
    for (int n = 0; n < 4; ++n)
      bytes[random() % (i % 2 ? 40 : bytes.size())] = static_cast<std::byte>(random());
    Speaker mad(keys, port);
    mad.say(bytes);
    mad.listen_for_goodbye(15);
  }
  EXPECT_TRUE(eventually(
      [&] { return plane.stats()["network"]["peers"] == 0 && plane.stats()["sessions"].empty(); }));
  EXPECT_TRUE(eventually([&] { return turned_away() > 10; }));
  expect_service();
}

TEST_F(NetworkStrangers, AForeignEngineIsNeverConnected) {
  const TestKeys foreign("foreign");
  NetworkOptions options(foreign, port);
  char message[512] = "";
  ss_lookup* const lookup = ss_lookup_open(&options.options, message, sizeof message);
  ASSERT_NE(lookup, nullptr) << message;
  ss_lookup_stats stats{};
  EXPECT_FALSE(eventually([&] { return ss_lookup_read_stats(lookup, &stats), stats.connected != 0; }, 500));
  ss_lookup_close(lookup);
  EXPECT_TRUE(eventually([&] { return turned_away() > 0; }));
  EXPECT_TRUE(plane.stats()["sessions"].empty());
  expect_service();
}

TEST_F(NetworkStrangers, WrongOptionsAreOneSentenceAtStart) {
  const auto refusal = [&](auto change) {
    NetworkOptions options(keys, port);
    change(options.options);
    char message[512] = "";
    ss_transfer* const transfer = ss_transfer_open(&options.options, message, sizeof message);
    ss_transfer_close(transfer);
    return std::string(transfer == nullptr ? message : "");
  };
  EXPECT_EQ(refusal([](ss_options&) {}), "") << "negative control";
  EXPECT_NE(refusal([](ss_options& o) { o.window = nullptr; }).find("window is missing"), std::string::npos);
  EXPECT_NE(refusal([](ss_options& o) { o.tls_key = nullptr; }).find("needs tls_key"), std::string::npos);
  EXPECT_NE(refusal([](ss_options& o) { o.tls_ca = "/nowhere"; }).find("cannot read /nowhere"),
            std::string::npos);
  EXPECT_NE(refusal([](ss_options& o) { o.socket_path = "tls://nic0"; }).find("tls://HOST:PORT"),
            std::string::npos);
  EXPECT_NE(refusal([](ss_options& o) { o.socket_path = "http://a"; }).find("no address"), std::string::npos);
  // An engine that was built before these fields were there passes a smaller struct.
  EXPECT_NE(refusal([](ss_options& o) {
              o.struct_size = offsetof(ss_options, tls_certificate);
            }).find("needs tls_"),
            std::string::npos);
}

TEST(NetworkPlane, StartsWithGoodSettingsOnly) {
  const TestKeys keys;
  const auto refusal = [&](auto change) {
    PlaneOptions options = network_plane_options(keys);
    change(options);
    std::string message;
    return Plane::start(options, message) ? std::string() : message;
  };
  EXPECT_EQ(refusal([](PlaneOptions&) {}), "") << "negative control";
  EXPECT_NE(refusal([](PlaneOptions& o) { o.listen = "0.0.0.0:7601"; }).find("use tls://HOST:PORT"),
            std::string::npos);
  EXPECT_NE(refusal([](PlaneOptions& o) { o.listen = "tls://256.1.1.1:7601"; }).find("cannot find the host"),
            std::string::npos);
  EXPECT_NE(refusal([](PlaneOptions& o) { o.tls = {}; }).find("shadowserve link keys"), std::string::npos);
  EXPECT_NE(refusal([](PlaneOptions& o) { o.listen = ""; }).find("--listen"), std::string::npos);
}

}  // namespace
}  // namespace shadowserve
