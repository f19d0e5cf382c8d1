// No client allocates on its caller's thread once it is open.
#include <gtest/gtest.h>

#include <filesystem>

#include "memory/frozen_heap.h"
#include "store/redis_process.h"
#include "store/store_trial.h"
#include "world/stream_trial.h"

namespace shadowserve {
namespace {

class Frozen {
 public:
  Frozen() : before_(frozen_allocations()) { freeze_heap_on_this_thread(); }
  ~Frozen() { thaw_heap_on_this_thread(); }
  uint64_t allocations() const { return frozen_allocations() - before_; }

 private:
  uint64_t before_;
};

/// A thousand puts, gets and questions, 20 at a time. False when one failed.
bool play(RecordStore& store, const Clock& clock, std::span<std::byte> memory) {
  constexpr size_t kAtOnce = 20, kBytes = 50'000;
  StoreDone done[8];
  for (uint64_t round = 0; round < 50; ++round) {
    for (const int kind : {0, 1, 2}) {
      const uint64_t deadline_ns = clock.now_ns() + StoreTrial::kPatienceNs;
      for (uint64_t i = 0; i < kAtOnce; ++i) {
        const std::span<std::byte> place = memory.subspan(i * kBytes, kBytes);
        const StoreKey key = trial_key(i);
        const Result<void> accepted = kind == 0   ? store.put(i, key, place, deadline_ns)
                                      : kind == 1 ? store.get(i, key, place, deadline_ns)
                                                  : store.exists(i, key, deadline_ns);
        if (!accepted) return false;
      }
      for (size_t finished = 0; finished < kAtOnce;) {
        pollfd entry{.fd = store.wake_fd(), .events = POLLIN, .revents = 0};
        if (::poll(&entry, 1, 5'000) != 1) return false;
        const size_t count = store.poll(done);
        for (size_t i = 0; i < count; ++i) {
          if (done[i].error != Error::kNone) return false;
        }
        finished += count;
      }
    }
  }
  return true;
}

void expect_no_allocations(const std::string& url, StreamMaker make_stream = {}) {
  std::string message;
  auto backend = open_store(url, message, std::move(make_stream));
  ASSERT_TRUE(backend) << message;
  const MonotonicClock clock;
  auto store = std::move(*(*backend)->client(clock, 32));
  std::vector<std::byte> memory(20 * 50'000);
  store->use_memory(memory);
  bool good = false;
  uint64_t allocations = 0;
  {
    const Frozen frozen;
    good = play(*store, clock, memory);
    allocations = frozen.allocations();
  }
  EXPECT_TRUE(good);
  EXPECT_EQ(allocations, 0u);
}

class Allocations : public testing::Test {
 protected:
  void SetUp() override {
    if (!heap_is_watched()) GTEST_SKIP() << "sanitizers bring an allocator of their own";
  }
};

TEST_F(Allocations, AreSeen) {  // negative control
  uint64_t seen = 0;
  {
    const Frozen frozen;
    delete new volatile int(1);
    std::string text(100, 'x');
    seen = frozen.allocations() + (text.size() == 0);
  }
  EXPECT_GE(seen, 1u);
}

TEST_F(Allocations, NoneByMemory) { expect_no_allocations("memory:"); }

TEST_F(Allocations, NoneByRedis) {
  RedisProcess server;
  expect_no_allocations(server.url());
}

TEST_F(Allocations, NoneBySeveralServers) {
  const RedisProcess server, other;
  expect_no_allocations(server.url() + ",127.0.0.1:" + std::to_string(other.port()));
}

TEST_F(Allocations, NoneByRedisThroughIoUring) {
  std::string why;
  if (make_trial_stream("io_uring", why) == nullptr) GTEST_SKIP() << why;
  RedisProcess server;
  expect_no_allocations(server.url(), trial_stream_maker("io_uring"));
}

TEST_F(Allocations, NoneByRedisThroughUcx) {
  if (!find_ucx().usable) GTEST_SKIP() << find_ucx().found;
  RedisProcess server;
  const RelayThread relay({loopback_address(static_cast<uint16_t>(server.port()))});
  ASSERT_TRUE(relay.there()) << relay.why;
  expect_no_allocations("redis://127.0.0.1:" + std::to_string(relay.port()), [] {
    std::string why;
    return std::move(*UcxStream::create(why));
  });
}

TEST_F(Allocations, NoneByRocksdb) {
  const std::string folder = testing::TempDir() + "shadowserve-allocations-" + std::to_string(getpid());
  std::filesystem::remove_all(folder);
  expect_no_allocations("rocksdb:" + folder + "?limit=100MB");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace shadowserve
