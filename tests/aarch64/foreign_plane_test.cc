// An engine on this machine's processor and a data plane built for another one, emulated: rings, doorbells
// and staging memory are shared by two processes that order memory differently. $PLANE_COMMAND starts the
// plane.
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <string>

#include "contract/check.h"
#include "link/link_engine.h"
#include "store/redis_process.h"

extern char** environ;

namespace shadowserve {
namespace {

/// A data plane in a process of its own; ends with this object.
class ForeignPlane {
 public:
  explicit ForeignPlane(const std::string& store_url) {
    const char* command = std::getenv("PLANE_COMMAND");
    SS_CHECK(command != nullptr, "PLANE_COMMAND names the other build's shadowserve");
    // Memory is not locked: an emulator's pages are not the process's own.
    const char* arguments[] = {command,          "plane",         "--store", store_url.c_str(), "--socket",
                               socket().c_str(), "--fetch-slots", "8",       "--save-slots",    "4",
                               "--pin-memory",   "false",         nullptr};
    const int failed =
        posix_spawn(&child_, command, nullptr, nullptr, const_cast<char**>(arguments), environ);
    SS_CHECK(failed == 0, "the plane's command can be started");
    SS_CHECK(eventually([&] { return access(socket().c_str(), F_OK) == 0; }, 30'000), "the plane starts");
  }
  ~ForeignPlane() {
    EXPECT_EQ(stop(SIGTERM), 0) << "it ends cleanly";
    unlink(socket().c_str());
  }
  /// The exit code, or the negative number of the signal that ended it; 0 when it had ended before.
  int stop(int signal) {
    if (child_ <= 0) return 0;
    kill(child_, signal);
    int status = 0;
    waitpid(child_, &status, 0);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  static const std::string& socket() {
    static const std::string path = scratch("foreign.sock");
    return path;
  }
  nlohmann::json stats() const {
    const std::string ask = std::string(std::getenv("PLANE_COMMAND")) + " stats --json --socket " + socket();
    FILE* answer = popen(ask.c_str(), "r");
    std::string text;
    char piece[4096];
    for (size_t got; (got = fread(piece, 1, sizeof piece, answer)) > 0;) text.append(piece, got);
    EXPECT_EQ(pclose(answer), 0);
    return nlohmann::json::parse(text);
  }

 private:
  pid_t child_ = -1;
};

ss_options over_foreign(const char* profile) {
  ss_options options = engine_options(profile);
  options.socket_path = ForeignPlane::socket().c_str();
  // An emulator on a busy machine is late; what is tested is not.
  options.lookup_timeout_ms = options.fetch_timeout_ms = 20'000;
  return options;
}

class ForeignPlaneTest : public testing::TestWithParam<const char*> {
 protected:
  const std::vector<int32_t> here_ = table(3, 8), there_ = table(20, 8), elsewhere_ = table(40, 8);
  RedisProcess redis_;
};

TEST_P(ForeignPlaneTest, BothReadWhatEitherSaved) {
  ForeignPlane foreign(redis_.url());
  ThreadedPlane own(redis_.url());
  Engine over_other(over_foreign(GetParam())), over_own(engine_options(GetParam()));
  over_other.compute(1);
  over_own.compute(1);
  // One chunk saved by each; then each fetches both.
  const auto keys_other = over_other.chain(prompt(1024, 1)), keys_own = over_own.chain(prompt(1024, 2));
  over_other.save(keys_other, here_);
  over_own.save(keys_own, here_);
  for (const auto& keys : {keys_other, keys_own}) {
    ASSERT_EQ(over_other.stored(keys), 4);
    over_other.compute(2);
    over_own.compute(3);
    expect_same_pages(over_other, there_, over_own, there_, /*same=*/false);  // negative control
    ASSERT_EQ(over_other.fetch(keys, there_).error, 0);
    ASSERT_EQ(over_own.fetch(keys, there_).error, 0);
    expect_same_pages(over_other, there_, over_own, there_);
  }
  // The same values under both keys: records of either maker come back alike.
  ASSERT_EQ(over_own.fetch(keys_other, elsewhere_).error, 0);
  expect_same_pages(over_own, there_, over_own, elsewhere_);
}
INSTANTIATE_TEST_SUITE_P(Profiles, ForeignPlaneTest,
                         testing::Values("raw", "int8", "kv4", "generic", "cachegen"));

TEST(ForeignPlaneLink, AThousandChunksComeWholeAndTheOthersHeapStaysFrozen) {
  RedisProcess redis;
  ForeignPlane foreign(redis.url());
  Engine engine(over_foreign("raw"));
  engine.compute(1);
  const auto keys = engine.chain(prompt(1024, 1));
  const auto here = table(3, 8), there = table(20, 8), wiped = table(40, 8);
  engine.save(keys, here);
  for (int i = 0; i < 250; ++i) {
    ASSERT_EQ(engine.fetch(keys, i % 2 == 0 ? there : wiped).error, 0) << i;
    ASSERT_EQ(engine.stored(keys), 4);
  }
  expect_same_pages(engine, here, engine, there);
  expect_same_pages(engine, here, engine, wiped);
  const auto stats = foreign.stats();
  EXPECT_EQ(stats["funnels"]["fetch"]["ended"]["done"], 1000);
  EXPECT_TRUE(stats["heap"]["watched"]);
  EXPECT_EQ(stats["heap"]["allocations_after_start"], 0);
}

TEST(ForeignPlaneLink, ItsDeathEndsFetchesAndNothingElse) {
  RedisProcess redis;
  ForeignPlane foreign(redis.url());
  Engine engine(over_foreign("raw"));
  engine.compute(1);
  const auto keys = engine.chain(prompt(1024, 1));
  engine.save(keys, table(3, 8));
  ASSERT_EQ(foreign.stop(SIGKILL), -SIGKILL);
  EXPECT_NE(engine.fetch(keys, table(20, 8)).error, 0);
}

}  // namespace
}  // namespace shadowserve
