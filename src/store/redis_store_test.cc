// The Redis client against a real server that is slow, stopped, killed, locked or full, and over faulty
// streams.
#include "store/redis_store.h"

#include <gtest/gtest.h>

#include <random>

#include "contract/limits.h"
#include "store/redis_process.h"
#include "store/store_trial.h"
#include "world/stopwatch_trial.h"
#include "world/stream_faulty.h"
#include "world/stream_trial.h"

namespace shadowserve {
namespace {

constexpr uint64_t kMs = kNsPerMs;

std::unique_ptr<StoreBackend> open(const RedisOptions& options) {
  std::string message;
  auto backend = open_redis_store(options, message);
  EXPECT_TRUE(backend) << message;
  return std::move(*backend);
}

StoreTrial connect(StoreBackend& backend, uint32_t depth = 64) {
  return StoreTrial(std::move(*backend.client(StoreTrial::clock(), depth)));
}

/// Over each kind of stream.
class RedisStoreTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string why;
    if (make_trial_stream(GetParam(), why) == nullptr) GTEST_SKIP() << why;
  }
  std::unique_ptr<Stream> stream() const { return trial_stream_maker(GetParam())(); }
  RedisOptions at(const RedisProcess& server, std::string password = "") const {
    RedisOptions options;
    options.port = static_cast<uint16_t>(server.port());
    options.password = std::move(password);
    options.silence_ns_max = 300 * kMs;
    options.connect_ns_max = 300 * kMs;
    options.make_stream = trial_stream_maker(GetParam());
    return options;
  }
};

/// Tries until the store answers; false when it never does.
bool comes_back(StoreTrial& trial) {
  for (int i = 0; i < 500; ++i) {
    if (trial.put(99, 100) == Error::kNone) return true;
    usleep(10'000);
  }
  return false;
}

TEST_P(RedisStoreTest, LogsInAndSelectsADatabase) {
  RedisProcess server("p@ss w/rd");
  RedisOptions options = at(server, "p@ss w/rd");
  auto zero = open(options);
  options.database = 3;
  options.user = "default";
  auto three = open(options);
  StoreTrial one = connect(*zero), other = connect(*three);
  ASSERT_EQ(one.put(1, 10), Error::kNone);
  EXPECT_EQ(other.exists(1), Error::kMiss) << "another database";
  EXPECT_EQ(other.put(2, 10), Error::kNone);
}

TEST_P(RedisStoreTest, IsRefusedWithoutTheRightPassword) {
  RedisProcess server("right");
  for (const char* password : {"", "wrong"}) {
    auto backend = open(at(server, password));
    StoreTrial trial = connect(*backend);
    EXPECT_EQ(trial.put(1, 10), Error::kStoreRefused);
    EXPECT_EQ(trial.exists(1), Error::kStoreRefused) << "and stays so while it waits to try again";
  }
}

TEST_P(RedisStoreTest, FailsAtOnceWhileDownAndConnectsLater) {
  RedisProcess server;
  server.kill();
  auto backend = open(at(server));
  StoreTrial trial = connect(*backend);
  EXPECT_EQ(trial.exists(1), Error::kStoreDown);
  const uint64_t begin_ns = trial.in(0);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(trial.put(1, 100), Error::kStoreDown);
  EXPECT_LT(trial.in(0) - begin_ns, 500 * kMs) << "no waiting for deadlines";
  server.start();
  EXPECT_TRUE(comes_back(trial));
}

TEST_P(RedisStoreTest, SurvivesKillAndRestartInTheMiddle) {
  RedisProcess server;
  auto backend = open(at(server));
  StoreTrial trial = connect(*backend);
  ASSERT_EQ(trial.put(1, 1 << 20), Error::kNone);
  const auto right = trial_value(1, 1 << 20);
  for (int round = 0; round < 3; ++round) {
    std::vector<std::vector<std::byte>> into(40, std::vector<std::byte>(1 << 20));
    std::vector<uint64_t> tickets;
    for (auto& place : into) {
      tickets.push_back(trial.next_ticket());
      ASSERT_TRUE(trial.store().get(tickets.back(), trial_key(1), place, trial.in(StoreTrial::kPatienceNs)));
    }
    for (int i = 0; i < 10 + round; ++i) trial.collect(10);
    server.kill();
    size_t down = 0;
    for (size_t i = 0; i < into.size(); ++i) {
      const StoreDone done = trial.wait(tickets[i]);
      down += done.error == Error::kStoreDown ? 1 : 0;
      ASSERT_TRUE(done.error == Error::kNone || done.error == Error::kStoreDown) << error_name(done.error);
      ASSERT_TRUE(done.error != Error::kNone || into[i] == right);
    }
    EXPECT_GT(down, 0u) << "the server was killed too late to matter";
    server.start();
    ASSERT_TRUE(comes_back(trial));
    ASSERT_EQ(trial.exists(1), Error::kMiss) << "an empty server answers";
    ASSERT_EQ(trial.put(1, 1 << 20), Error::kNone);
  }
  EXPECT_EQ(trial.twice(), 0u);
}

TEST_P(RedisStoreTest, KeepsDeadlinesWhileTheServerIsStoppedAndDropsLateAnswers) {
  RedisProcess server;
  auto backend = open(at(server));
  StoreTrial trial = connect(*backend);
  ASSERT_EQ(trial.put(1, 500'000), Error::kNone);
  ASSERT_EQ(trial.put(2, 400'000), Error::kNone);
  server.signal(SIGSTOP);
  std::vector<std::byte> into(500'000);
  const uint64_t begin_ns = trial.in(0);
  const Stopwatch took;
  EXPECT_EQ(trial.get(1, into, 50 * kMs).error, Error::kDeadline);
  EXPECT_EQ(trial.exists(1, 50 * kMs), Error::kDeadline);
  EXPECT_GE(trial.in(0) - begin_ns, 100 * kMs);
  EXPECT_LT(took.elapsed(), std::chrono::milliseconds(200));
  std::fill(into.begin(), into.end(), std::byte{1});
  server.signal(SIGCONT);
  // The late answers come first on the same connection, and reach nobody.
  EXPECT_EQ(trial.get(2), trial_value(2, 400'000));
  EXPECT_EQ(std::count(into.begin(), into.end(), std::byte{1}), 500'000);
}

TEST_P(RedisStoreTest, TakesASilentServerForDown) {
  RedisProcess server;
  auto backend = open(at(server));
  StoreTrial trial = connect(*backend);
  ASSERT_EQ(trial.put(1, 1000), Error::kNone);
  server.signal(SIGSTOP);
  Error error = Error::kDeadline;
  const uint64_t begin_ns = trial.in(0);
  while (error == Error::kDeadline && trial.in(0) - begin_ns < 3'000 * kMs) error = trial.exists(1, 50 * kMs);
  EXPECT_EQ(error, Error::kStoreDown);
  EXPECT_LT(trial.in(0) - begin_ns, 1'000 * kMs);
  usleep(400'000);  // connecting works, the kernel does that; but nobody greets
  const uint64_t again_ns = trial.in(0);
  EXPECT_EQ(trial.exists(1, 1'000 * kMs), Error::kStoreDown);
  EXPECT_LT(trial.in(0) - again_ns, 50 * kMs);
  server.signal(SIGCONT);
  EXPECT_TRUE(comes_back(trial));
  EXPECT_EQ(trial.get(1), trial_value(1, 1000));
}

TEST_P(RedisStoreTest, EndsAPutWhoseDeadlinePassesInTheMiddle) {
  RedisProcess server;
  auto backend = open(at(server));
  StoreTrial trial = connect(*backend);
  ASSERT_TRUE(comes_back(trial));
  server.signal(SIGSTOP);
  const std::vector<std::byte> value(kRecordBytesMax);
  std::vector<uint64_t> tickets;
  for (int i = 0; i < 8; ++i) {  // more than the sockets' buffers take
    tickets.push_back(trial.next_ticket());
    const uint64_t patience_ns = i < 7 ? 100 * kMs : StoreTrial::kPatienceNs;
    ASSERT_TRUE(trial.store().put(tickets.back(), trial_key(1), value, trial.in(patience_ns)));
  }
  const uint64_t begin_ns = trial.in(0);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(trial.wait(tickets[i]).error, Error::kDeadline) << i;
  EXPECT_EQ(trial.wait(tickets[7]).error, Error::kStoreDown);
  EXPECT_LT(trial.in(0) - begin_ns, 300 * kMs);
  server.signal(SIGCONT);
  EXPECT_TRUE(comes_back(trial));
}

TEST_P(RedisStoreTest, GoesOnReadingWhenTheServerIsFull) {
  RedisProcess server("", {"--maxmemory", "8mb", "--maxmemory-policy", "noeviction"});
  auto backend = open(at(server));
  StoreTrial trial = connect(*backend);
  ASSERT_EQ(trial.put(0, 500'000), Error::kNone);
  Error error = Error::kNone;
  for (uint64_t i = 1; i < 40 && error == Error::kNone; ++i) error = trial.put(i, 500'000);
  EXPECT_EQ(error, Error::kStoreRefused);
  EXPECT_EQ(trial.get(0), trial_value(0, 500'000));
}

TEST_P(RedisStoreTest, IsRightOverStreamsThatAreNot) {
  RedisProcess server;
  size_t good = 0, failed = 0;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    RedisOptions options = at(server);
    const StreamFaults faults = {.seed = seed,
                                 .transfer_bytes_max = 30'000,
                                 .stall = 0.2,
                                 .reset_after_bytes = 1'000'000,
                                 .refused_connects = 1};
    options.make_stream = [this, faults] { return std::make_unique<FaultyStream>(stream(), faults); };
    auto backend = open(options);
    StoreTrial trial = connect(*backend, 8);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 150; ++round) {
      const uint64_t number = random() % 10;
      const size_t bytes = 1 + number * 9'000;
      if (trial.put(number, bytes) == Error::kStoreDown) usleep(20'000);
      std::vector<std::vector<std::byte>> into(8, std::vector<std::byte>(bytes));
      std::vector<uint64_t> tickets;
      for (auto& place : into) {
        tickets.push_back(trial.next_ticket());
        ASSERT_TRUE(trial.store().get(tickets.back(), trial_key(number), place, trial.in(2'000 * kMs)));
      }
      for (size_t i = 0; i < into.size(); ++i) {
        const StoreDone done = trial.wait(tickets[i]);
        if (done.error == Error::kNone) {
          ASSERT_EQ(done.bytes, bytes);
          ASSERT_TRUE(into[i] == trial_value(number, bytes));
          ++good;
        } else {
          ASSERT_TRUE(done.error == Error::kStoreDown || done.error == Error::kMiss)
              << error_name(done.error);
          ++failed;
        }
      }
    }
    EXPECT_EQ(trial.twice(), 0u);
    EXPECT_EQ(trial.store().in_flight(), 0u);
  }
  EXPECT_GT(good, 1000u);
  EXPECT_GT(failed, 10u) << "no fault hit";
}

/// Counts what passes.
class CountingStream final : public Stream {
 public:
  struct Counts {
    size_t writes = 0, read_bytes = 0;
  };
  CountingStream(std::unique_ptr<Stream> inner, Counts& counts) : inner_(std::move(inner)), counts_(counts) {}
  Result<void> connect(const StreamAddress& to) override { return inner_->connect(to); }
  Result<bool> ready() override { return inner_->ready(); }
  Result<size_t> readv(std::span<const iovec> into) override {
    const Result<size_t> got = inner_->readv(into);
    counts_.read_bytes += got.value_or(0);
    return got;
  }
  Result<size_t> writev(std::span<const iovec> from) override {
    ++counts_.writes;
    return inner_->writev(from);
  }
  int fd() const override { return inner_->fd(); }
  bool wants_output() const override { return inner_->wants_output(); }
  bool has_input() const override { return inner_->has_input(); }
  Result<void> flush() override { return inner_->flush(); }
  void close() override { inner_->close(); }
  int why() const override { return inner_->why(); }

 private:
  std::unique_ptr<Stream> inner_;
  Counts& counts_;
};

TEST_P(RedisStoreTest, ReceivesABoundedAmountInOnePollAndSendsQuestionsTogether) {
  RedisProcess server;
  CountingStream::Counts counts;
  RedisOptions options = at(server);
  options.make_stream = [&] { return std::make_unique<CountingStream>(stream(), counts); };
  auto backend = open(options);
  StoreTrial trial = connect(*backend, 100);
  ASSERT_EQ(trial.put(1, kRecordBytesMax), Error::kNone);
  std::vector<std::byte> into(kRecordBytesMax);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(trial.store().get(1000 + i, trial_key(1), into, trial.in(StoreTrial::kPatienceNs)));
  }
  size_t most = 0;
  while (trial.store().in_flight() > 0) {
    const size_t before = counts.read_bytes;
    trial.collect(100);
    most = std::max(most, counts.read_bytes - before);
    usleep(2'000);  // let the sockets fill
  }
  EXPECT_LE(most, 1u << 20);
  EXPECT_GT(most, 100'000u);

  counts.writes = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(trial.store().exists(i, trial_key(1), trial.in(StoreTrial::kPatienceNs)));
  }
  for (int i = 0; i < 100; ++i) ASSERT_EQ(trial.wait(i).error, Error::kNone);
  EXPECT_EQ(counts.writes, 1u);
}

INSTANTIATE_TEST_SUITE_P(Streams, RedisStoreTest, testing::ValuesIn(kReceiveTrials),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace shadowserve
