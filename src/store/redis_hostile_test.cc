// The Redis client against servers that are none, or that lie.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "store/redis_process.h"
#include "store/redis_store.h"
#include "store/store_trial.h"
#include "world/stopwatch_trial.h"
#include "world/stream_trial.h"

namespace shadowserve {
namespace {

/// Greets like Redis if told to, then answers whatever comes next with the same bytes, on every connection.
class LiarServer {
 public:
  LiarServer(std::string greeting, std::string answer) : port_(RedisProcess::free_port()) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port_));
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    listen(listener_, 8);
    thread_ = std::thread([this, greeting, answer] {
      for (int peer; (peer = accept(listener_, nullptr, nullptr)) >= 0; ::close(peer)) {
        char heard[4096];
        if (read(peer, heard, sizeof(heard)) <= 0) continue;
        send(peer, greeting.data(), greeting.size(), MSG_NOSIGNAL);
        if (read(peer, heard, sizeof(heard)) <= 0) continue;
        send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
        while (read(peer, heard, sizeof(heard)) > 0) {
        }
      }
    });
  }
  ~LiarServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  RedisOptions options() const {
    RedisOptions options;
    options.port = static_cast<uint16_t>(port_);
    options.connect_ns_max = options.silence_ns_max = 200 * kNsPerMs;
    return options;
  }

 private:
  int port_;
  int listener_;
  std::thread thread_;
};

/// Over each kind of stream.
class RedisHostile : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string why;
    if (make_trial_stream(GetParam(), why) == nullptr) GTEST_SKIP() << why;
  }
  StoreDone get_from(const LiarServer& server, std::span<std::byte> into, uint64_t patience_ns) {
    RedisOptions options = server.options();
    options.make_stream = trial_stream_maker(GetParam());
    std::string message;
    auto backend = open_redis_store(options, message);
    EXPECT_TRUE(backend) << message;
    StoreTrial trial(std::move(*(*backend)->client(StoreTrial::clock(), 4)));
    // As a data plane does: the value's place is known to the kernel.
    trial.store().use_memory(into);
    return trial.get(1, into, patience_ns);
  }
};

TEST_P(RedisHostile, IsNotRedisAtAll) {
  for (const char* greeting :
       {"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH\r\n", "$5\r\nhello\r\n", ":1\r\n"}) {
    LiarServer server(greeting, "");
    std::vector<std::byte> into(10);
    EXPECT_EQ(get_from(server, into, 1'000 * kNsPerMs).error, Error::kStoreDown) << greeting;
  }
}

TEST_P(RedisHostile, AnswersWithTheWrongType) {
  for (const char* answer :
       {"+OK\r\n", ":1\r\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", "$-5\r\n", "$99999999999\r\n", "garbage"}) {
    LiarServer server("+PONG\r\n", answer);
    std::vector<std::byte> into(10);
    EXPECT_EQ(get_from(server, into, 1'000 * kNsPerMs).error, Error::kStoreDown) << answer;
  }
}

TEST_P(RedisHostile, AnswersMoreThanWasAsked) {
  LiarServer server("+PONG\r\n+PONG\r\n", "");
  std::vector<std::byte> into(10);
  EXPECT_EQ(get_from(server, into, 1'000 * kNsPerMs).error, Error::kStoreDown);
}

TEST_P(RedisHostile, NeverWritesBehindTheMemory) {
  LiarServer server("+PONG\r\n", "$11\r\nhello world\r\n");
  std::vector<std::byte> into(64, std::byte{9});
  EXPECT_EQ(get_from(server, std::span(into).first(10), 1'000 * kNsPerMs).error, Error::kNoCapacity);
  EXPECT_EQ(into, std::vector<std::byte>(64, std::byte{9}));
}

TEST_P(RedisHostile, StopsInTheMiddleOfAValue) {
  LiarServer server("+PONG\r\n", "$1000\r\nhello");
  std::vector<std::byte> into(1000);
  const Stopwatch took;
  EXPECT_EQ(get_from(server, into, 100 * kNsPerMs).error, Error::kDeadline);
  EXPECT_LT(took.elapsed(), std::chrono::milliseconds(200));
}

TEST_P(RedisHostile, SaysNoInManyWords) {
  LiarServer server("+PONG\r\n", "-MOVED 3999 127.0.0.1:6381 " + std::string(500, 'x') + "\r\n");
  std::vector<std::byte> into(10);
  EXPECT_EQ(get_from(server, into, 1'000 * kNsPerMs).error, Error::kStoreRefused);
}

TEST_P(RedisHostile, NeverGreets) {
  LiarServer server("", "");
  std::vector<std::byte> into(10);
  const Stopwatch took;
  EXPECT_EQ(get_from(server, into, 2'000 * kNsPerMs).error, Error::kStoreDown);
  EXPECT_LT(took.elapsed(), std::chrono::milliseconds(1'000));
}

INSTANTIATE_TEST_SUITE_P(Streams, RedisHostile, testing::ValuesIn(kReceiveTrials),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace shadowserve
