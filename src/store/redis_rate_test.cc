// A Redis connection with a share of the link: as fast as it says, asleep meanwhile, shared by all clients.
#include <gtest/gtest.h>
#include <poll.h>

#include "contract/limits.h"
#include "store/redis_process.h"
#include "store/store_trial.h"
#include "world/stopwatch_trial.h"
#include "world/stream_trial.h"

namespace shadowserve {
namespace {

constexpr size_t kBytes = 1u << 20;

struct Pace {
  double mbit_per_s = 0;
  double mbit_per_own_s = 0;  ///< of the time that the machine left to it
  int wakes = 0;
};

/// Gets value 1 `times` times from all clients, `in_flight` of each at once, sleeping in between.
class PacedGets {
 public:
  PacedGets(StoreBackend& backend, int clients) : into_(kBytes) {
    for (int i = 0; i < clients; ++i) clients_.push_back(std::move(*backend.client(StoreTrial::clock(), 4)));
  }
  Pace run(int times) {
    const MonotonicClock clock;
    const uint64_t begin_ns = clock.now_ns();
    const Stopwatch took;
    int asked = 0, came = 0, wakes = 0;
    for (auto& client : clients_) asked += ask(*client) + ask(*client);
    while (came < times && clock.now_ns() < begin_ns + 10'000'000'000) {
      std::vector<pollfd> entries;
      for (auto& client : clients_) entries.push_back({client->wake_fd(), POLLIN, 0});
      ++wakes;
      ::poll(entries.data(), entries.size(), 1000);
      for (size_t i = 0; i < clients_.size(); ++i) {
        StoreDone done[4];
        const size_t count = entries[i].revents == 0 ? 0 : clients_[i]->poll(done);
        for (size_t k = 0; k < count; ++k) {
          EXPECT_EQ(done[k].error, Error::kNone);
          ++came;
          asked += ask(*clients_[i]);
        }
      }
    }
    EXPECT_GE(came, times);
    const double mbit = static_cast<double>(came) * kBytes * 8e-6;
    return {mbit / (static_cast<double>(clock.now_ns() - begin_ns) * 1e-9),
            mbit / std::chrono::duration<double>(took.elapsed()).count(), wakes};
  }

 private:
  int ask(RecordStore& client) {
    EXPECT_TRUE(client.get(1, trial_key(1), into_, StoreTrial::clock().now_ns() + 10'000'000'000));
    return 1;
  }
  std::vector<std::byte> into_;
  std::vector<std::unique_ptr<RecordStore>> clients_;
};

class RedisRateTest : public testing::TestWithParam<std::string> {};

TEST_P(RedisRateTest, IsKeptWithoutSpinning) {
  std::string why;
  if (make_trial_stream(GetParam(), why) == nullptr) GTEST_SKIP() << why;
  RedisProcess server;
  std::string message;
  const auto unlimited = open_store(server.url(), message, trial_stream_maker(GetParam())).value();
  StoreTrial trial(std::move(*unlimited->client(StoreTrial::clock(), 4)));
  ASSERT_EQ(trial.put(1, kBytes), Error::kNone);
  for (const int clients : {1, 2}) {
    const auto limited =
        open_store(server.url() + "?rate=160mbit", message, trial_stream_maker(GetParam())).value();
    const Pace pace = PacedGets(*limited, clients).run(8);
    // What was saved up before the first read is a sixteenth of it all.
    EXPECT_LT(pace.mbit_per_s, 160 * 1.15) << clients << " clients share the rate";
    EXPECT_GT(pace.mbit_per_own_s, 160 * 0.7);
    // One wake for each 2,000 bytes that the bucket hands out, and one for what came before it was full.
    EXPECT_LT(pace.wakes, clients * 2 * 8 * static_cast<int>(kBytes / 2'000));
  }
  EXPECT_GT(PacedGets(*unlimited, 1).run(8).mbit_per_own_s, 160 * 2) << "the negative control";
}

INSTANTIATE_TEST_SUITE_P(Streams, RedisRateTest, testing::ValuesIn(kReceiveTrials),
                         [](const auto& info) { return info.param; });

TEST(RedisRate, IsToldWithTheAddress) {
  std::string message;
  EXPECT_EQ(open_store("redis://127.0.0.1:1/2?rate=2.5gbit", message).value()->describe(),
            "redis://127.0.0.1:1/2?rate=2.5gbit");
}

}  // namespace
}  // namespace shadowserve
