// Pages saved by one engine are fetched by another through the real data plane: whole trips over the C API.
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "link/link_engine.h"
#include "memory/frozen_heap.h"
#include "store/redis_process.h"
#include "world/receive_choice.h"
#include "world/stopwatch_trial.h"
#include "world/stream_io_uring.h"
#include "world/ucx/ucx_relay_trial.h"

namespace shadowserve {
namespace {

size_t resident_bytes() {
  size_t pages = 0;
  size_t resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  EXPECT_EQ(std::fscanf(file, "%zu %zu", &pages, &resident), 2);
  std::fclose(file);
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

std::unique_ptr<RelayThread> relay_to(const RedisProcess& redis) {
  return std::make_unique<RelayThread>(
      std::vector<StreamAddress>{loopback_address(static_cast<uint16_t>(redis.port()))});
}

/// Every store a user may choose, the servers real.
class StoreTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    url_ = GetParam();
    if (url_ == "rocksdb") url_ = "rocksdb:" + folder_ + "?limit=1GB";
    if (url_ == "redis through io_uring" && !find_io_uring().usable) GTEST_SKIP() << find_io_uring().found;
    if (url_ == "redis through ucx" && !find_ucx().usable) GTEST_SKIP() << find_ucx().found;
    if (url_.starts_with("redis")) {
      receive_ = url_ == "redis"               ? kReceiveSockets
                 : url_ == "redis through ucx" ? kReceiveUcx
                                               : kReceiveIoUring;
      redis_ = std::make_unique<RedisProcess>("a password");
      int port = redis_->port();
      if (receive_ == kReceiveUcx) {
        relay_ = relay_to(*redis_);
        ASSERT_TRUE(relay_->there()) << relay_->why;
        port = relay_->port();
      }
      url_ = "redis://:a%20password@127.0.0.1:" + std::to_string(port);
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// As a user's: slots are locked, and the kernel knows them.
  PlaneOptions options() const {
    PlaneOptions options = plane_options(url_, false, "host");
    options.receive = receive_;
    options.pin_memory = receive_ == kReceiveIoUring;
    return options;
  }

  const std::string folder_ = scratch("db");
  std::string receive_{kReceiveSockets};
  std::string url_;
  std::unique_ptr<RedisProcess> redis_;
  std::unique_ptr<RelayThread> relay_;
};

TEST_P(StoreTest, AnotherEngineFetchesWhatOneSavedBitForBit) {
  ThreadedPlane plane(options());
  Engine first(engine_options("raw"));
  Engine second(engine_options("raw"));
  first.compute(1);
  second.compute(2);
  const auto tokens = prompt(1024, 1);
  const auto keys = first.chain(tokens);
  const auto here = table(3, 8);
  const auto there = table(20, 8);
  EXPECT_EQ(first.stored(keys), 0);
  first.save(keys, here);
  EXPECT_EQ(second.stored(keys), 4);
  expect_same_pages(first, here, second, there, /*same=*/false);  // negative control
  const ss_event event = second.fetch(keys, there);
  EXPECT_EQ(event.error, 0);
  EXPECT_EQ(event.chunks_placed, 4u);
  expect_same_pages(first, here, second, there);
  // A prompt that diverges in its third chunk hits two.
  auto other = tokens;
  other[600] ^= 1;
  EXPECT_EQ(second.stored(second.chain(other)), 2);
}

TEST_P(StoreTest, AThousandFetchedChunksAllocateNothingAndMemoryStaysFlat) {
  const uint64_t allocations = frozen_allocations();
  ThreadedPlane plane(options());
  ss_options options = engine_options("kv4");
  options.tenant_salt = "sealed with GMAC";
  Engine engine(options);
  engine.compute(1);
  const auto keys = engine.chain(prompt(1024, 1));
  engine.save(keys, table(0, 8));
  for (int i = 0; i < 20; ++i) ASSERT_EQ(engine.fetch(keys, table(20, 8)).error, 0);
  const size_t before = resident_bytes();
  for (int i = 0; i < 250; ++i) {
    ASSERT_EQ(engine.fetch(keys, table(20, 8)).error, 0) << i;
    ASSERT_EQ(engine.stored(keys), 4);
  }
  const auto stats = plane.stats();
  EXPECT_EQ(stats["receive"]["used"], receive_);
  EXPECT_EQ(stats["receive"]["warning"], "");
  EXPECT_GE(stats["funnels"]["fetch"]["ended"]["done"], 1000);
#if !defined(SHADOWSERVE_SANITIZED)
  EXPECT_TRUE(stats["heap"]["watched"]);
  EXPECT_EQ(stats["heap"]["allocations_after_start"], allocations);
  EXPECT_LT(resident_bytes(), before + (4 << 20));
#endif
}
INSTANTIATE_TEST_SUITE_P(Stores, StoreTest,
                         ::testing::Values("memory:", "rocksdb", "redis", "redis through io_uring",
                                           "redis through ucx"));

class HungStoreTest : public ::testing::TestWithParam<std::string_view> {};

TEST_P(HungStoreTest, AFullLinkOverItEndsEveryFetchByItsDeadline) {
  if (GetParam() == kReceiveIoUring && !find_io_uring().usable) GTEST_SKIP() << find_io_uring().found;
  if (GetParam() == kReceiveUcx && !find_ucx().usable) GTEST_SKIP() << find_ucx().found;
  RedisProcess redis;
  std::unique_ptr<RelayThread> relay;
  if (GetParam() == kReceiveUcx) relay = relay_to(redis);
  PlaneOptions plane_of = plane_options(
      relay ? "redis://127.0.0.1:" + std::to_string(relay->port()) : redis.url(), false, "host");
  plane_of.receive = GetParam();
  ThreadedPlane plane(plane_of);
  ss_options options = engine_options("raw");
  options.fetch_timeout_ms = 1500;
  options.staging_bytes = 4 << 20;  // a fraction of what is asked for
  Engine engine(options);
  engine.compute(1);
  const auto keys = engine.chain(prompt(1024, 9));
  engine.save(keys, table(0, 8));
  redis.signal(SIGSTOP);
  constexpr int kJobs = 300;
  const auto pages = table(20, 8);
  const Stopwatch took;
  for (uint64_t id = 5000; id < 5000 + kJobs; ++id) {
    ASSERT_EQ(ss_fetch(engine.transfer, id, keys.data(), 0, 4, 0, pages.data(), pages.size()), 0);
  }
  EXPECT_LT(took.elapsed(), std::chrono::milliseconds(500)) << "asking never waits";
  for (int i = 0; i < kJobs; ++i) EXPECT_NE(engine.wait_event().error, 0);
  EXPECT_LT(took.elapsed(), std::chrono::milliseconds(4000));
  redis.signal(SIGCONT);
  EXPECT_TRUE(eventually([&] { return engine.fetch(keys, table(40, 8)).error == 0; }));
  expect_same_pages(engine, table(0, 8), engine, table(40, 8));
}

INSTANTIATE_TEST_SUITE_P(Receive, HungStoreTest, ::testing::ValuesIn(kReceiveNames));

TEST(TransferOverPlane, OnlyTokensTheEngineLacksArePlaced) {
  ThreadedPlane plane("memory:");
  Engine first(engine_options("raw"));
  Engine second(engine_options("raw"));
  first.compute(1);
  second.compute(2);
  Engine untouched(engine_options("raw"));
  untouched.compute(2);
  const auto keys = first.chain(prompt(512, 3));
  const auto pages = table(0, 4);
  first.save(keys, pages);
  EXPECT_EQ(second.fetch(keys, pages, /*first_token=*/128).chunks_placed, 2u);
  expect_same_pages(untouched, {pages[0]}, second, {pages[0]});
  expect_same_pages(first, {pages.begin() + 1, pages.end()}, second, {pages.begin() + 1, pages.end()});
}

TEST(TransferOverPlane, AnotherModelsEngineMisses) {
  ThreadedPlane plane("memory:");
  Engine first(engine_options("raw"));
  Engine stranger(engine_options("raw", "another model"));
  first.compute(1);
  const auto tokens = prompt(512, 4);
  first.save(first.chain(tokens), table(0, 4));
  EXPECT_EQ(stranger.stored(stranger.chain(tokens)), 0);
  EXPECT_NE(stranger.chain(tokens), first.chain(tokens));
}

TEST(TransferOverPlane, AMissingChunkEndsTheFetchAtTheChunksBeforeIt) {
  ThreadedPlane plane("memory:");
  Engine engine(engine_options("kv4"));
  engine.compute(1);
  const auto keys = engine.chain(prompt(1024, 5));
  std::vector<uint8_t> two(keys.begin(), keys.begin() + 64);
  engine.save(two, table(0, 4));
  const ss_event event = engine.fetch(keys, table(10, 8));
  EXPECT_EQ(event.chunks_placed, 2u);
  EXPECT_STREQ(ss_error_name(event.error), "miss");
}

TEST(TransferOverPlane, APlaneKilledUnderLoadFailsFetchesAndServesAgainAfterItsRestart) {
  const std::string folder = scratch("db2");
  const std::string url = "rocksdb:" + folder + "?limit=1GB";
  // The real command: a fork alone would inherit this process's threads' locks, but not the threads.
  const std::string socket = scratch("plane.sock");
  const auto spawn = [&] {
    const pid_t child = fork();
    if (child != 0) return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a failed test leaves nothing behind
    execl(SHADOWSERVE_COMMAND, "shadowserve", "plane", "--store", url.c_str(), "--socket", socket.c_str(),
          static_cast<char*>(nullptr));
    _exit(127);
  };
  pid_t child = spawn();
  {
    Engine engine(engine_options("raw"));
    engine.compute(1);
    const auto keys = engine.chain(prompt(1024, 6));
    engine.save(keys, table(0, 8));
    for (uint64_t id = 1000; id < 1050; ++id) {
      const auto pages = table(20, 8);
      ASSERT_EQ(ss_fetch(engine.transfer, id, keys.data(), 0, 4, 0, pages.data(), pages.size()), 0);
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    int events = 0;
    for (; events < 50; ++events) engine.wait_event();
    EXPECT_EQ(events, 50) << "every fetch ends";
    EXPECT_EQ(engine.stored(keys), 0) << "no plane: compute";

    child = spawn();
    EXPECT_TRUE(eventually([&] { return engine.stored(keys) == 4; })) << "attaches again by itself";
    ss_event event{};
    EXPECT_TRUE(eventually([&] {
      event = engine.fetch(keys, table(40, 8));
      return event.error == 0;
    }));
    expect_same_pages(engine, table(0, 8), engine, table(40, 8));

    // A plane that is stuck, not dead: the deadline ends the fetch.
    kill(child, SIGSTOP);
    waitpid(child, nullptr, WUNTRACED);  // until its last thread stands still, some may go on answering
    const Stopwatch took;
    EXPECT_NE(engine.fetch(keys, table(20, 8)).error, 0);
    EXPECT_LT(took.elapsed(), std::chrono::seconds(5));
    kill(child, SIGCONT);
    EXPECT_TRUE(eventually([&] { return engine.fetch(keys, table(20, 8)).error == 0; }));
    expect_same_pages(engine, table(0, 8), engine, table(20, 8));
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace shadowserve
