// Engines and a data plane across the link of two machines: values through the window, cuts, slow links,
// strangers.
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "link/network_engine.h"
#include "memory/frozen_heap.h"
#include "world/stopwatch_trial.h"

namespace shadowserve {
namespace {

using std::chrono::milliseconds;

/// An engine and a plane with a proxy between them that can cut, slow down and damage.
struct ProxiedEngine {
  TestKeys keys;
  ThreadedPlane plane{network_plane_options(keys)};
  TcpProxy proxy{port_of(plane)};
  NetworkOptions options{keys, proxy.port()};
  Engine engine{options.options};

  /// Four chunks, computed in the first eight pages and saved.
  std::vector<uint8_t> saved_chain() {
    engine.compute(1);
    auto chain = engine.chain(prompt(1024, 1));
    engine.save(chain, table(0, 8));
    return chain;
  }
};

TEST(NetworkLink, AnotherEngineFetchesWhatOneSavedBitForBit) {
  const uint64_t allocations = frozen_allocations();
  const TestKeys keys;
  ThreadedPlane plane(network_plane_options(keys));
  const NetworkOptions options(keys, port_of(plane));
  Engine first(options.options), second(options.options);
  first.compute(1);
  second.compute(2);
  const auto chain = first.chain(prompt(1024, 1));
  const auto here = table(3, 8), there = table(20, 8);
  EXPECT_EQ(first.stored(chain), 0);
  first.save(chain, here);
  EXPECT_EQ(second.stored(chain), 4);
  expect_same_pages(first, here, second, there, /*same=*/false);  // negative control
  const ss_event event = second.fetch(chain, there);
  EXPECT_EQ(event.error, 0) << ss_error_name(event.error);
  EXPECT_EQ(event.chunks_placed, 4u);
  expect_same_pages(first, here, second, there);
  // An engine beside the plane finds the same.
  Engine local(engine_options("raw"));
  local.compute(3);
  EXPECT_EQ(local.fetch(chain, there).error, 0);
  expect_same_pages(first, here, local, there);
  const auto stats = plane.stats();
  EXPECT_EQ(stats["network"]["attached"], 4) << "two objects an engine";
  EXPECT_EQ(stats["sessions"].size(), 6u);
#if !defined(SHADOWSERVE_SANITIZED)
  EXPECT_TRUE(stats["heap"]["watched"]);
  EXPECT_EQ(stats["heap"]["allocations_after_start"], allocations) << "TLS allocates, but in no stage";
#endif
}

TEST(NetworkLink, ACutLinkIsNoticedRecomputedAndComesBack) {
  ProxiedEngine behind;
  TcpProxy& proxy = behind.proxy;
  Engine& engine = behind.engine;
  const auto chain = behind.saved_chain();
  ASSERT_EQ(engine.stored(chain), 4);

  proxy.cut = true;
  // What was asked just now ends by its own deadline; nobody waits for the link to be noticed as down.
  const auto pages = table(20, 8);
  ASSERT_EQ(ss_fetch(engine.transfer, 900, chain.data(), 0, 4, 0, pages.data(), pages.size()), 0);
  const Stopwatch took;
  EXPECT_EQ(engine.stored(chain), 0);
  EXPECT_LT(took.elapsed(), milliseconds(300)) << "the lookup's 100 ms";
  const ss_event cut = engine.wait_event();
  EXPECT_NE(cut.error, 0);
  EXPECT_LT(took.elapsed(), milliseconds(2500)) << "a second of silence, and some patience";
  const auto connected = [&] {
    ss_transfer_stats worker{};
    ss_lookup_stats scheduler{};
    ss_transfer_read_stats(engine.transfer, &worker);
    ss_lookup_read_stats(engine.lookup, &scheduler);
    return worker.connected + scheduler.connected;
  };
  EXPECT_TRUE(eventually([&] { return connected() == 0; }, 2000));
  // The plane has noticed as well, and let the sessions go.
  EXPECT_TRUE(eventually([&] { return behind.plane.stats()["sessions"].empty(); }, 3000));
  for (int i = 0; i < 20; ++i) {
    const Stopwatch lookup_took;
    EXPECT_EQ(engine.stored(chain), 0);
    EXPECT_LT(lookup_took.elapsed(), milliseconds(300));
    usleep(100'000);
  }
  proxy.cut = false;
  EXPECT_TRUE(eventually([&] { return engine.stored(chain) == 4; }, 6000)) << "by itself";
  EXPECT_TRUE(eventually([&] { return engine.fetch(chain, pages).error == 0; }, 6000));
  expect_same_pages(engine, table(0, 8), engine, pages);
}

TEST(NetworkLink, AnUncutLinkStaysUpWhileNobodyAsks) {  // the negative control of the cut
  ProxiedEngine behind;
  TcpProxy& proxy = behind.proxy;
  Engine& engine = behind.engine;
  usleep(2'500'000);
  ss_transfer_stats worker{};
  ss_transfer_read_stats(engine.transfer, &worker);
  EXPECT_EQ(worker.connects, 1u);
  EXPECT_EQ(worker.disconnects, 0u);
  EXPECT_EQ(proxy.connections, 2u);
}

TEST(NetworkLink, AMegabitUnderLoadKeepsEveryDeadlineAndNeverHangs) {
  ProxiedEngine behind;
  TcpProxy& proxy = behind.proxy;
  Engine& engine = behind.engine;
  const auto chain = behind.saved_chain();
  proxy.bytes_per_s = 125'000;
  // 2,000 prompts of 4 chunks at once: 512 KB of questions, four seconds of this link.
  const Stopwatch took;
  constexpr int kPrompts = 2000;
  for (uint64_t id = 10'000; id < 10'000 + kPrompts; ++id) {
    ss_lookup_start(engine.lookup, id, chain.data(), 4);
  }
  EXPECT_LT(took.elapsed(), milliseconds(500)) << "asking never waits";
  int found = 0, computed = 0;
  for (uint64_t id = 10'000; id < 10'000 + kPrompts; ++id) {
    int64_t hits = SS_PENDING;
    EXPECT_TRUE(eventually([&] { return (hits = ss_lookup_poll(engine.lookup, id)) != SS_PENDING; }, 500));
    (hits == 4 ? found : computed) += 1;
    ss_lookup_forget(engine.lookup, id);
  }
  EXPECT_LT(took.elapsed(), milliseconds(1000)) << "100 ms, and what a test machine adds";
  EXPECT_GT(computed, 0) << "the link was slower than the questions";
  // Fetches under the same load: each ends, at the latest with its deadline.
  const auto pages = table(20, 8);
  for (uint64_t id = 1; id <= 100; ++id) {
    ASSERT_EQ(ss_fetch(engine.transfer, 50'000 + id, chain.data(), 0, 4, 0, pages.data(), pages.size()), 0);
  }
  for (int i = 0; i < 100; ++i) engine.wait_event();
  EXPECT_LT(took.elapsed(), milliseconds(6000));
  proxy.bytes_per_s = 0;
  EXPECT_TRUE(eventually([&] { return engine.stored(chain) == 4; }, 6000));
  EXPECT_TRUE(eventually([&] { return engine.fetch(chain, table(40, 8)).error == 0; }, 6000));
  expect_same_pages(engine, table(0, 8), engine, table(40, 8));
}

TEST(NetworkLink, DamagedBytesEndTheConnectionAndNothingElse) {
  ProxiedEngine behind;
  TcpProxy& proxy = behind.proxy;
  Engine& engine = behind.engine;
  const auto chain = behind.saved_chain();
  ASSERT_EQ(engine.stored(chain), 4);
  const uint64_t before = proxy.connections;
  proxy.damage = true;
  int64_t hits = 0;
  EXPECT_TRUE(eventually([&] { return (hits = engine.stored(chain)) == 0 || proxy.connections > before; }));
  EXPECT_TRUE(eventually([&] { return proxy.connections > before; })) << "a new connection";
  EXPECT_TRUE(eventually([&] { return engine.stored(chain) == 4; }));
  EXPECT_TRUE(eventually([&] { return engine.fetch(chain, table(20, 8)).error == 0; }));
  expect_same_pages(engine, table(0, 8), engine, table(20, 8));
}

/// The real command with a port of its own.
class PlaneProcess {
 public:
  PlaneProcess(const TestKeys& keys, const std::string& store)
      : words_{"shadowserve",       "plane",
               "--store",           store,
               "--socket",          scratch("nic.sock"),
               "--listen",          NetworkOptions::tls_address(port),
               "--tls-certificate", keys.plane.certificate,
               "--tls-key",         keys.plane.key,
               "--tls-ca",          keys.plane.ca,
               "--window",          window_path()} {
    start();
  }
  ~PlaneProcess() {
    kill();
    for (const char* left : {"nic.sock", "nic.sock.stats", "window.sock"})
      std::filesystem::remove(scratch(left));
  }
  void start() {
    std::vector<char*> arguments;
    for (std::string& word : words_) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = fork();
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a failed test leaves nothing behind
    execv(SHADOWSERVE_COMMAND, arguments.data());
    _exit(127);
  }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  void signal(int number) const { ::kill(pid_, number); }
  /// Returns when its last thread stands still: some may go on answering for a moment.
  void stand_still() const {
    signal(SIGSTOP);
    waitpid(pid_, nullptr, WUNTRACED);
  }

  const uint16_t port = static_cast<uint16_t>(RedisProcess::free_port());

 private:
  std::vector<std::string> words_;
  pid_t pid_ = -1;
};

TEST(NetworkLink, AKilledPlaneIsRecomputedAndServesAgainAfterItsRestart) {
  const TestKeys keys;
  const std::string folder = scratch("nic-db");
  {
    PlaneProcess plane(keys, "rocksdb:" + folder + "?limit=1GB");
    const NetworkOptions options(keys, plane.port);
    Engine engine(options.options);
    engine.compute(1);
    const auto chain = engine.chain(prompt(1024, 6));
    engine.save(chain, table(0, 8));
    const auto pages = table(20, 8);
    for (uint64_t id = 1000; id < 1050; ++id) {
      ASSERT_EQ(ss_fetch(engine.transfer, id, chain.data(), 0, 4, 0, pages.data(), pages.size()), 0);
    }
    plane.kill();
    for (int i = 0; i < 50; ++i) engine.wait_event();
    EXPECT_EQ(engine.stored(chain), 0) << "no plane: compute";
    plane.start();
    EXPECT_TRUE(eventually([&] { return engine.stored(chain) == 4; })) << "attaches again by itself";
    EXPECT_TRUE(eventually([&] { return engine.fetch(chain, table(40, 8)).error == 0; }));
    expect_same_pages(engine, table(0, 8), engine, table(40, 8));

    // Stuck, not dead: a second of silence, and it is given up.
    plane.stand_still();
    const Stopwatch took;
    EXPECT_EQ(engine.stored(chain), 0);
    EXPECT_NE(engine.fetch(chain, pages).error, 0);
    EXPECT_LT(took.elapsed(), milliseconds(3000));
    plane.signal(SIGCONT);
    EXPECT_TRUE(eventually([&] { return engine.stored(chain) == 4; }));
    EXPECT_TRUE(eventually([&] { return engine.fetch(chain, pages).error == 0; }));
    expect_same_pages(engine, table(0, 8), engine, pages);
  }
  std::filesystem::remove_all(folder);
}

// OpenSSL tears its state down when a process exits; link threads go on until the last moment.
TEST(NetworkLinkDeathTest, AnEngineMayExitInTheMiddle) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto exit_in_the_middle = [] {
    const TestKeys keys;
    auto* const plane = new PlaneProcess(keys, "memory:");  // it dies with this process
    const NetworkOptions options(keys, plane->port);
    auto* const engine = new Engine(options.options);
    const auto chain = engine->chain(prompt(1024, 1));
    for (uint64_t id = 1; id <= 2000; ++id) ss_lookup_start(engine->lookup, id, chain.data(), 4);
    std::filesystem::remove_all(keys.folder());
    for (const char* left : {"nic.sock", "nic.sock.stats", "window.sock"})
      std::filesystem::remove(scratch(left));
    std::exit(0);
  };
  EXPECT_EXIT(exit_in_the_middle(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace shadowserve
