// Several real servers as one store: where records lie, what a lost one takes along, and the one link to all.
#include "store/many_servers.h"

#include <gtest/gtest.h>

#include <set>

#include "store/redis_process.h"
#include "store/server_choice.h"
#include "store/store_trial.h"
#include "world/stopwatch_trial.h"
#include "world/stream_throttled.h"

namespace shadowserve {
namespace {

constexpr size_t kServers = 3, kRecords = 60, kBytes = 5'000;

class ManyServers : public testing::Test {
 protected:
  void SetUp() override {
    backend_ = open(all_url());
    for (const RedisProcess& server : servers_)
      names_.push_back("127.0.0.1:" + std::to_string(server.port()));
  }
  std::string all_url() const {
    return servers_[0].url() + ",127.0.0.1:" + std::to_string(servers_[1].port()) +
           ",127.0.0.1:" + std::to_string(servers_[2].port());
  }
  static std::unique_ptr<StoreBackend> open(const std::string& url) {
    std::string message;
    auto opened = open_store(url, message);
    EXPECT_TRUE(opened) << message;
    return std::move(*opened);
  }
  StoreTrial client(uint32_t depth = 64) {
    return StoreTrial(std::move(*backend_->client(StoreTrial::clock(), depth)));
  }
  size_t server_of(uint64_t number) const { return ServerChoice(names_).of(trial_key(mixed(number))); }
  /// trial_key() takes numbers into a key's first bytes: make them look like a hash's.
  static uint64_t mixed(uint64_t number) { return (number + 1) * 0x9e3779b97f4a7c15u; }
  static void fill(StoreTrial& trial) {
    for (uint64_t i = 0; i < kRecords; ++i) ASSERT_EQ(trial.put(mixed(i), kBytes), Error::kNone);
  }

  RedisProcess servers_[kServers];
  std::vector<std::string> names_;
  std::unique_ptr<StoreBackend> backend_;
};

TEST_F(ManyServers, KeepEachRecordWhereItBelongsAndNowhereElse) {
  StoreTrial trial = client();
  fill(trial);
  std::set<size_t> used;
  for (size_t server = 0; server < kServers; ++server) {
    const auto alone = open(servers_[server].url());
    StoreTrial one(std::move(*alone->client(StoreTrial::clock(), 4)));
    for (uint64_t i = 0; i < kRecords; ++i) {
      const bool here = server_of(i) == server;
      EXPECT_EQ(one.exists(mixed(i)), here ? Error::kNone : Error::kMiss) << i << " on " << server;
      if (here) used.insert(server);
    }
  }
  EXPECT_EQ(used.size(), kServers);
}

TEST_F(ManyServers, LoseOnlyTheRecordsOfALostServer) {
  StoreTrial trial = client();
  fill(trial);
  servers_[1].kill();
  for (int pass = 0; pass < 2; ++pass) {  // the first finds the connection lost, the second knows
    for (uint64_t i = 0; i < kRecords; ++i) {
      if (server_of(i) == 1) {
        EXPECT_EQ(trial.exists(mixed(i)), Error::kStoreDown) << i;
      } else {
        EXPECT_EQ(trial.get(mixed(i)), trial_value(mixed(i), kBytes)) << i;
      }
    }
  }
  servers_[1].start();
  const uint64_t theirs = [&] {
    uint64_t i = 0;
    while (server_of(i) != 1) ++i;
    return mixed(i);
  }();
  const uint64_t until_ns = trial.in(20'000'000'000);
  while (trial.put(theirs, kBytes) != Error::kNone && StoreTrial::clock().now_ns() < until_ns)
    trial.collect(20);
  EXPECT_EQ(trial.get(theirs), trial_value(theirs, kBytes)) << "the connection comes back by itself";
}

TEST_F(ManyServers, DoNotWaitForOneThatHangs) {
  StoreTrial trial = client();
  fill(trial);
  servers_[2].signal(SIGSTOP);
  std::vector<std::vector<std::byte>> into(kRecords, std::vector<std::byte>(kBytes));
  constexpr uint64_t kPatienceNs = 3'000'000'000;
  std::vector<uint64_t> stuck;
  for (uint64_t i = 0; i < kRecords; ++i) {
    ASSERT_TRUE(trial.store().get(i, trial_key(mixed(i)), into[i], trial.in(kPatienceNs)));
    if (server_of(i) == 2) stuck.push_back(i);
  }
  for (uint64_t i = 0; i < kRecords; ++i) {
    if (server_of(i) != 2) EXPECT_EQ(trial.wait(i).error, Error::kNone) << i;
  }
  EXPECT_EQ(trial.store().in_flight(), stuck.size()) << "the others have not waited for these";
  for (const uint64_t i : stuck) {
    // The first one's deadline may find the server gone, and end those whose deadlines are a little later.
    const Error error = trial.wait(i).error;
    EXPECT_TRUE(error == Error::kDeadline || error == Error::kStoreDown) << i << ": " << error_name(error);
  }
  servers_[2].signal(SIGCONT);
  EXPECT_EQ(trial.twice(), 0u);
  EXPECT_EQ(trial.store().in_flight(), 0u);
}

TEST_F(ManyServers, TakeAsManyOperationsAsAskedForAtOnce) {
  StoreTrial trial = client(10);
  std::vector<std::byte> into(kBytes);
  uint64_t accepted = 0;
  for (uint64_t i = 0; i < kRecords; ++i) {
    accepted += trial.store().exists(i, trial_key(mixed(i)), trial.in(StoreTrial::kPatienceNs)) ? 1 : 0;
  }
  EXPECT_EQ(accepted, 10u);
  for (uint64_t i = 0; i < 10; ++i) EXPECT_EQ(trial.wait(i).error, Error::kMiss);
  EXPECT_EQ(trial.store().in_flight(), 0u);
}

TEST_F(ManyServers, ShareOneLink) {
  StoreTrial filling = client();
  fill(filling);
  constexpr double kBytesPerS = 2'000'000;
  const auto seconds = [&](const std::string& parameters) {
    const auto limited = open(all_url() + parameters);
    StoreTrial trial(std::move(*limited->client(StoreTrial::clock(), 64)));
    EXPECT_EQ(trial.get(mixed(0)), trial_value(mixed(0), kBytes));
    const Stopwatch took;
    for (int round = 0; round < 4; ++round) {
      for (uint64_t i = 0; i < kRecords; ++i) EXPECT_TRUE(trial.get(mixed(i), kBytes)) << i;
    }
    return std::chrono::duration<double>(took.elapsed()).count();
  };
  // 256 KiB are saved up before; three links would have three times as much, and be three times as fast.
  const double bytes = 4.0 * kRecords * kBytes - RateBucket::kBurstBytesMin;
  EXPECT_GT(seconds("?rate=16mbit"), 0.9 * bytes / kBytesPerS);
  EXPECT_LT(seconds(""), 0.5 * bytes / kBytesPerS) << "the negative control";
}

}  // namespace
}  // namespace shadowserve
