// What every backend promises, tried on every backend.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <memory>

#include "contract/limits.h"
#include "memory/frozen_heap.h"
#include "store/redis_process.h"
#include "store/store_trial.h"
#include "world/stream_trial.h"

namespace shadowserve {
namespace {

class EveryStore : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string url = "memory:?limit=256MB";
    StreamMaker make_stream;
    if (GetParam() == "redis_io_uring") {
      std::string why;
      if (make_trial_stream("io_uring", why) == nullptr) GTEST_SKIP() << why;
      make_stream = trial_stream_maker("io_uring");
    }
    if (GetParam() == "redis_ucx") {
      if (!find_ucx().usable) GTEST_SKIP() << find_ucx().found;
      make_stream = [] {
        std::string why;
        return std::move(*UcxStream::create(why));
      };
    }
    if (GetParam().starts_with("redis")) {
      redis_ = std::make_unique<RedisProcess>("s3cret");
      url = redis_->url();
      if (GetParam() == "redis_servers") {
        for (auto& other : others_) {
          other = std::make_unique<RedisProcess>("s3cret");
          url += ",127.0.0.1:" + std::to_string(other->port());
        }
      }
      if (GetParam() == "redis_ucx") {
        relay_ = std::make_unique<RelayThread>(
            std::vector<StreamAddress>{loopback_address(static_cast<uint16_t>(redis_->port()))});
        ASSERT_TRUE(relay_->there()) << relay_->why;
        url = "redis://:s3cret@127.0.0.1:" + std::to_string(relay_->port());
      }
    } else if (GetParam() == "rocksdb") {
      folder_ = testing::TempDir() + "shadowserve-conformance-" + std::to_string(getpid());
      std::filesystem::remove_all(folder_);
      url = "rocksdb:" + folder_ + "?limit=256MB";
    }
    std::string message;
    auto opened = open_store(url, message, make_stream);
    ASSERT_TRUE(opened) << message;
    backend_ = std::move(*opened);
  }
  void TearDown() override {
    backend_.reset();
    relay_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  StoreTrial client(uint32_t depth = 64) {
    return StoreTrial(std::move(*backend_->client(StoreTrial::clock(), depth)));
  }
  std::unique_ptr<RedisProcess> redis_;
  std::array<std::unique_ptr<RedisProcess>, 2> others_;
  std::unique_ptr<RelayThread> relay_;
  std::string folder_;
  std::unique_ptr<StoreBackend> backend_;
};

TEST_P(EveryStore, GivesBackWhatWasPut) {
  StoreTrial trial = client();
  for (const size_t bytes : {size_t{1}, size_t{100}, size_t{4097}, size_t{256} << 10, kRecordBytesMax}) {
    ASSERT_EQ(trial.put(bytes, bytes), Error::kNone) << bytes;
    const auto got = trial.get(bytes);
    ASSERT_TRUE(got) << bytes;
    EXPECT_TRUE(*got == trial_value(bytes, bytes)) << bytes;
    EXPECT_EQ(trial.exists(bytes), Error::kNone);
  }
  EXPECT_EQ(trial.store().in_flight(), 0u);
}

TEST_P(EveryStore, MissesWhatWasNotPut) {
  StoreTrial trial = client();
  std::vector<std::byte> into(100, std::byte{7});
  EXPECT_EQ(trial.get(1, into).error, Error::kMiss);
  EXPECT_EQ(trial.exists(1), Error::kMiss);
  ASSERT_EQ(trial.put(1, 100), Error::kNone);
  EXPECT_EQ(trial.exists(2), Error::kMiss);
  EXPECT_EQ(into, std::vector<std::byte>(100, std::byte{7})) << "a miss leaves the memory alone";
}

TEST_P(EveryStore, ReplacesAValue) {
  StoreTrial trial = client();
  ASSERT_EQ(trial.put(1, trial_value(10, 5000)), Error::kNone);
  ASSERT_EQ(trial.put(1, trial_value(11, 300)), Error::kNone);
  EXPECT_EQ(trial.get(1), trial_value(11, 300));
}

TEST_P(EveryStore, RefusesValuesThatDoNotFit) {
  StoreTrial trial = client();
  ASSERT_EQ(trial.put(1, 300'000), Error::kNone);
  std::vector<std::byte> into(299'999 + 64, std::byte{7});
  EXPECT_EQ(trial.get(1, std::span(into).first(299'999)).error, Error::kNoCapacity);
  EXPECT_EQ(std::count(into.begin() + 299'999, into.end(), std::byte{7}), 64);
  EXPECT_EQ(trial.put(2, kRecordBytesMax + 1), Error::kNoCapacity);
  EXPECT_EQ(trial.exists(2), Error::kMiss);
  EXPECT_EQ(trial.get(1), trial_value(1, 300'000)) << "the client goes on";
}

TEST_P(EveryStore, CompletesAThousandOperationsOnce) {
  StoreTrial trial = client(1000);
  constexpr size_t kCount = 1000, kBytes = 20'000;
  std::vector<std::vector<std::byte>> values;
  for (size_t i = 0; i < kCount; ++i) values.push_back(trial_value(i, kBytes));
  for (size_t i = 0; i < kCount; ++i) {
    ASSERT_TRUE(trial.store().put(i, trial_key(i), values[i], trial.in(StoreTrial::kPatienceNs)));
  }
  EXPECT_EQ(trial.store().in_flight(), kCount);
  EXPECT_EQ(trial.store().exists(5000, trial_key(1), trial.in(1)).error(), Error::kNoCapacity);
  for (size_t i = 0; i < kCount; ++i) ASSERT_EQ(trial.wait(i).error, Error::kNone) << i;
  std::vector<std::byte> arena(kCount * kBytes);
  for (size_t i = 0; i < kCount; ++i) {
    const std::span<std::byte> into(arena.data() + i * kBytes, kBytes);
    ASSERT_TRUE(trial.store().get(i, trial_key(i), into, trial.in(StoreTrial::kPatienceNs)));
  }
  for (size_t i = 0; i < kCount; ++i) {
    const StoreDone done = trial.wait(i);
    ASSERT_EQ(done.error, Error::kNone) << i;
    ASSERT_EQ(done.bytes, kBytes);
    ASSERT_EQ(std::memcmp(arena.data() + i * kBytes, values[i].data(), kBytes), 0) << i;
  }
  for (size_t i = 0; i < kCount; ++i) {
    ASSERT_TRUE(trial.store().exists(i, trial_key(i * 2), trial.in(StoreTrial::kPatienceNs)));
  }
  for (size_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(trial.wait(i).error, i * 2 < kCount ? Error::kNone : Error::kMiss) << i;
  }
  EXPECT_EQ(trial.twice(), 0u);
  EXPECT_EQ(trial.store().in_flight(), 0u);
}

TEST_P(EveryStore, TwoClientsSeeTheSameRecords) {
  StoreTrial one = client(), other = client();
  ASSERT_EQ(one.put(1, 1000), Error::kNone);
  EXPECT_EQ(other.exists(1), Error::kNone);
  EXPECT_EQ(other.get(1), trial_value(1, 1000));
}

TEST_P(EveryStore, EndsOperationsWhoseDeadlineHasPassed) {
  StoreTrial trial = client();
  ASSERT_EQ(trial.put(1, 1000), Error::kNone);
  std::vector<std::byte> into(1000);
  const Error error = trial.get(1, into, 0).error;
  EXPECT_TRUE(error == Error::kDeadline || error == Error::kNone) << error_name(error);
  EXPECT_EQ(trial.get(1), trial_value(1, 1000));
}

TEST_P(EveryStore, MayBeClosedWithOperationsInFlight) {
  std::vector<std::vector<std::byte>> memory(64, std::vector<std::byte>(100'000));
  {
    StoreTrial trial = client();
    trial.store().use_memory(memory[0]);
    ASSERT_EQ(trial.put(1, 100'000), Error::kNone);
    for (size_t i = 0; i < memory.size(); ++i) {
      ASSERT_TRUE(trial.store().get(i, trial_key(1), memory[i], trial.in(StoreTrial::kPatienceNs)));
    }
    trial.collect(1);
  }
  for (auto& bytes : memory) std::fill(bytes.begin(), bytes.end(), std::byte{1});
  usleep(20'000);
  for (auto& bytes : memory) ASSERT_EQ(std::count(bytes.begin(), bytes.end(), std::byte{1}), 100'000);
}

INSTANTIATE_TEST_SUITE_P(Stores, EveryStore,
                         testing::Values("memory", "redis", "redis_io_uring", "redis_servers", "redis_ucx",
                                         "rocksdb"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace shadowserve
