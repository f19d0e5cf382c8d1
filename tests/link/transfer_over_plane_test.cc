// Pages saved by one engine are fetched by another through the real data plane: whole trips over the C API.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "memory/frozen_heap.h"
#include "plane/plane.h"
#include "shadowserve/shadowserve.h"
#include "store/redis_process.h"

namespace shadowserve {
namespace {

constexpr uint32_t kLayers = 4;
constexpr uint32_t kHeads = 2;
constexpr uint32_t kDim = 64;
constexpr uint32_t kPageTokens = 128;
constexpr uint32_t kPages = 64;
constexpr size_t kPageBytes = size_t{kPageTokens} * 2 * kDim * 2;

std::string scratch(const std::string& name) {
  return "/tmp/ss-link-test-" + std::to_string(getpid()) + "-" + name;
}

bool eventually(const std::function<bool()>& condition, int timeout_ms = 10'000) {
  for (int waited = 0; waited < timeout_ms; ++waited) {
    if (condition()) return true;
    usleep(1000);
  }
  return false;
}

class ThreadedPlane {
 public:
  explicit ThreadedPlane(const std::string& store_url) : stop_fd_(eventfd(0, EFD_CLOEXEC)) {
    PlaneOptions options;
    options.store_url = store_url;
    options.socket_path = scratch("plane.sock");
    options.pin_memory = false;
    std::string message;
    auto started = Plane::start(options, message);
    EXPECT_TRUE(started) << message;
    plane_ = std::move(*started);
    thread_ = std::thread([this] { plane_->serve(stop_fd_); });
  }
  ~ThreadedPlane() {
    const uint64_t one = 1;
    EXPECT_EQ(write(stop_fd_, &one, 8), 8);
    thread_.join();
    close(stop_fd_);
  }
  nlohmann::json stats() const { return nlohmann::json::parse(plane_->stats_json()); }

 private:
  int stop_fd_;
  std::unique_ptr<Plane> plane_;
  std::thread thread_;
};

ss_options engine_options(const char* profile, const char* fingerprint = "test model") {
  ss_options options{};
  options.struct_size = sizeof(options);
  static const std::string socket = scratch("plane.sock");
  options.socket_path = socket.c_str();
  options.client_name = "link test";
  options.model_fingerprint = fingerprint;
  options.profile = profile;
  options.layers = kLayers;
  options.kv_heads = kHeads;
  options.head_dim = kDim;
  options.fetch_timeout_ms = 3000;
  options.staging_bytes = 16 << 20;
  return options;
}

/// An engine: paged memory of its own, filled with a seed's values, and both objects of the C API.
class Engine {
 public:
  explicit Engine(const ss_options& options) : memory_(kLayers * kPages * kHeads * kPageBytes) {
    char message[256] = "";
    lookup = ss_lookup_open(&options, message, sizeof(message));
    EXPECT_NE(lookup, nullptr) << message;
    transfer = ss_transfer_open(&options, message, sizeof(message));
    EXPECT_NE(transfer, nullptr) << message;
    std::vector<void*> bases;
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      bases.push_back(memory_.data() + layer * kPages * kHeads * kPageBytes);
    }
    ss_pages pages{};
    pages.layout = SS_PAGES_VEC;
    pages.page_tokens = kPageTokens;
    pages.pages = kPages;
    pages.page_stride_bytes = kHeads * kPageBytes;
    pages.head_stride_bytes = kPageBytes;
    pages.layer_base = bases.data();
    pages.layers = kLayers;
    EXPECT_EQ(ss_transfer_register_pages(transfer, &pages, message, sizeof(message)), 0) << message;
    EXPECT_TRUE(eventually([&] {
      ss_transfer_stats worker{};
      ss_lookup_stats scheduler{};
      ss_transfer_read_stats(transfer, &worker);
      ss_lookup_read_stats(lookup, &scheduler);
      return worker.connected && scheduler.connected;
    }));
  }
  ~Engine() {
    ss_transfer_close(transfer);
    ss_lookup_close(lookup);
  }

  /// "Computes" pages: any bf16 in [-2, 2], different for each seed, layer and page.
  void compute(uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 0.5);
    for (size_t i = 0; i + 1 < memory_.size(); i += 2) {
      const float value = normal(random);
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      const auto bf16 = static_cast<uint16_t>(bits >> 16);
      std::memcpy(memory_.data() + i, &bf16, 2);
    }
  }
  const std::byte* page(uint32_t layer, int32_t id) const {
    return memory_.data() + (size_t{layer} * kPages + static_cast<size_t>(id)) * kHeads * kPageBytes;
  }

  std::vector<uint8_t> chain(const std::vector<uint32_t>& tokens) {
    std::vector<uint8_t> keys(tokens.size() / 256 * SS_KEY_BYTES);
    EXPECT_EQ(
        ss_chain(lookup, nullptr, tokens.data(), tokens.size(), nullptr, 0, keys.data(), keys.size() / 32),
        tokens.size() / 256);
    return keys;
  }
  int64_t stored(const std::vector<uint8_t>& keys) {
    ss_lookup_start(lookup, ++id_, keys.data(), keys.size() / 32);
    int64_t hits = SS_PENDING;
    EXPECT_TRUE(eventually([&] { return (hits = ss_lookup_poll(lookup, id_)) != SS_PENDING; }));
    ss_lookup_forget(lookup, id_);
    return hits;
  }
  ss_event wait_event() {
    ss_event event{};
    EXPECT_TRUE(eventually([&] { return ss_transfer_poll(transfer, &event, 1) == 1; }));
    return event;
  }
  void save(const std::vector<uint8_t>& keys, const std::vector<int32_t>& pages) {
    const auto chunks = static_cast<uint32_t>(keys.size() / 32);
    ss_transfer_stats before{};
    ss_transfer_read_stats(transfer, &before);
    ASSERT_EQ(ss_save(transfer, ++id_, keys.data(), 0, chunks, pages.data(), pages.size()), 0);
    EXPECT_EQ(wait_event().error, 0);
    ASSERT_TRUE(eventually([&] {
      ss_transfer_stats now{};
      ss_transfer_read_stats(transfer, &now);
      return now.save_stored == before.save_stored + chunks;
    }));
  }
  ss_event fetch(const std::vector<uint8_t>& keys, const std::vector<int32_t>& pages,
                 uint32_t first_token = 0) {
    const auto chunks = static_cast<uint32_t>(keys.size() / 32);
    EXPECT_EQ(ss_fetch(transfer, ++id_, keys.data(), 0, chunks, first_token, pages.data(), pages.size()), 0);
    return wait_event();
  }

  ss_lookup* lookup = nullptr;
  ss_transfer* transfer = nullptr;

 private:
  std::vector<std::byte> memory_;
  uint64_t id_ = 0;
};

std::vector<uint32_t> prompt(size_t tokens, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint32_t> ids(tokens);
  for (uint32_t& id : ids) id = random() % 50'000;
  return ids;
}

std::vector<int32_t> table(int32_t first, size_t pages) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < pages; ++i) ids.push_back(first + static_cast<int32_t>((i * 7) % pages));
  return ids;
}

void expect_same_pages(const Engine& a, const std::vector<int32_t>& in_a, const Engine& b,
                       const std::vector<int32_t>& in_b, bool same = true) {
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    for (size_t i = 0; i < in_a.size(); ++i) {
      const bool equal =
          std::memcmp(a.page(layer, in_a[i]), b.page(layer, in_b[i]), kHeads * kPageBytes) == 0;
      ASSERT_EQ(equal, same) << "layer " << layer << " page " << i;
    }
  }
}

size_t resident_bytes() {
  size_t pages = 0;
  size_t resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  EXPECT_EQ(std::fscanf(file, "%zu %zu", &pages, &resident), 2);
  std::fclose(file);
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

/// Every store a user may choose, the servers real.
class StoreTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    url_ = GetParam();
    if (url_ == "rocksdb") url_ = "rocksdb:" + folder_ + "?limit=1GB";
    if (url_ == "redis") {
      redis_ = std::make_unique<RedisProcess>("a password");
      url_ = "redis://:a%20password@127.0.0.1:" + std::to_string(redis_->port());
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  const std::string folder_ = scratch("db");
  std::string url_;
  std::unique_ptr<RedisProcess> redis_;
};

TEST_P(StoreTest, AnotherEngineFetchesWhatOneSavedBitForBit) {
  ThreadedPlane plane(url_);
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
  ThreadedPlane plane(url_);
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
  EXPECT_GE(stats["funnels"]["fetch"]["ended"]["done"], 1000);
#if !defined(SHADOWSERVE_SANITIZED)
  EXPECT_TRUE(stats["heap"]["watched"]);
  EXPECT_EQ(stats["heap"]["allocations_after_start"], allocations);
  EXPECT_LT(resident_bytes(), before + (4 << 20));
#endif
}
INSTANTIATE_TEST_SUITE_P(Stores, StoreTest, ::testing::Values("memory:", "rocksdb", "redis"));

TEST(TransferOverPlane, AFullLinkOverAHungStoreEndsEveryFetchByItsDeadline) {
  RedisProcess redis;
  ThreadedPlane plane(redis.url());
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
  const auto started = std::chrono::steady_clock::now();
  for (uint64_t id = 5000; id < 5000 + kJobs; ++id) {
    ASSERT_EQ(ss_fetch(engine.transfer, id, keys.data(), 0, 4, 0, pages.data(), pages.size()), 0);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::milliseconds(500))
      << "asking never waits";
  for (int i = 0; i < kJobs; ++i) EXPECT_NE(engine.wait_event().error, 0);
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::milliseconds(4000));
  redis.signal(SIGCONT);
  EXPECT_TRUE(eventually([&] { return engine.fetch(keys, table(40, 8)).error == 0; }));
  expect_same_pages(engine, table(0, 8), engine, table(40, 8));
}

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
    const auto started = std::chrono::steady_clock::now();
    EXPECT_NE(engine.fetch(keys, table(20, 8)).error, 0);
    const auto took = std::chrono::steady_clock::now() - started;
    EXPECT_LT(took, std::chrono::seconds(5));
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
