// The embedded store: restarts, kills, eviction, a bounded disk, a full one, and what it says when it cannot
// open.
#include "store/rocksdb_store.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "contract/limits.h"
#include "store/store_trial.h"

namespace shadowserve {
namespace {

namespace fs = std::filesystem;

class RocksdbStore : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "shadowserve-rocksdb-" + std::to_string(getpid());
    fs::remove_all(folder_);
    options_.path = folder_;
    options_.limit_bytes = 64'000'000;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::unique_ptr<StoreBackend> open() {
    std::string message;
    auto backend = open_rocksdb_store(options_, message);
    EXPECT_TRUE(backend) << message;
    return std::move(*backend);
  }
  std::string refusal() {
    std::string message;
    EXPECT_FALSE(open_rocksdb_store(options_, message));
    return message;
  }
  static StoreTrial connect(StoreBackend& backend, uint32_t depth = 64) {
    return StoreTrial(std::move(*backend.client(StoreTrial::clock(), depth)));
  }
  uint64_t disk_bytes() const {
    uint64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      std::error_code gone;
      const uint64_t size = entry.file_size(gone);
      if (!gone) bytes += size;
    }
    return bytes;
  }
  /// Every record that is said to exist is there and whole; returns how many.
  static size_t check_all(StoreTrial& trial, uint64_t numbers, size_t bytes) {
    size_t there = 0;
    for (uint64_t i = 0; i < numbers; ++i) {
      if (trial.exists(i) != Error::kNone) continue;
      const auto got = trial.get(i);
      EXPECT_TRUE(got) << i;
      EXPECT_TRUE(got == trial_value(i, bytes)) << i;
      ++there;
    }
    return there;
  }

  std::string folder_;
  RocksdbOptions options_;
};

TEST_F(RocksdbStore, KeepsRecordsOverARestart) {
  for (int round = 0; round < 3; ++round) {
    auto backend = open();
    EXPECT_EQ(backend->usage().records, static_cast<uint64_t>(round));
    StoreTrial trial = connect(*backend);
    for (uint64_t i = 0; i < 3; ++i)
      EXPECT_EQ(trial.exists(i), i < static_cast<uint64_t>(round) ? Error::kNone : Error::kMiss);
    EXPECT_EQ(check_all(trial, 3, 200'000), static_cast<size_t>(round));
    ASSERT_EQ(trial.put(round, 200'000), Error::kNone);
  }
}

TEST_F(RocksdbStore, EvictsTheLeastRecentlyUsedFirst) {
  auto backend = open();
  StoreTrial trial = connect(*backend);
  const size_t fits = options_.limit_bytes / 1'000'000;
  for (uint64_t i = 0; i < fits; ++i) ASSERT_EQ(trial.put(i, 1'000'000), Error::kNone);
  ASSERT_TRUE(trial.get(0));
  ASSERT_EQ(trial.put(1000, 1'000'000), Error::kNone);
  EXPECT_EQ(trial.exists(0), Error::kNone) << "was used";
  EXPECT_EQ(trial.exists(1), Error::kMiss) << "was not";
  EXPECT_EQ(trial.get(1), std::nullopt);
  EXPECT_EQ(backend->usage().evicted, 1u);
  EXPECT_LE(backend->usage().bytes, options_.limit_bytes);
}

TEST_F(RocksdbStore, EvictsTheOldestFirstWhenTold) {
  options_.evict_fifo = true;
  auto backend = open();
  StoreTrial trial = connect(*backend);
  const size_t fits = options_.limit_bytes / 1'000'000;
  for (uint64_t i = 0; i < fits; ++i) ASSERT_EQ(trial.put(i, 1'000'000), Error::kNone);
  ASSERT_TRUE(trial.get(0));
  ASSERT_EQ(trial.put(1000, 1'000'000), Error::kNone);
  EXPECT_EQ(trial.exists(0), Error::kMiss);
  EXPECT_EQ(trial.exists(1), Error::kNone);
}

TEST_F(RocksdbStore, BoundsTheDisk) {
  constexpr size_t kBytes = 400'000;
  const uint64_t count = options_.limit_bytes * 3 / kBytes;
  for (const bool fifo : {false, true}) {
    fs::remove_all(folder_);
    options_.evict_fifo = fifo;
    auto backend = open();
    StoreTrial trial = connect(*backend);
    std::mt19937_64 random(1);
    std::vector<std::byte> into(kBytes);
    uint64_t most = 0, refused = 0;
    for (uint64_t i = 0; i < count; ++i) {
      const auto value = trial_value(i, kBytes);
      Error error = Error::kStoreRefused;
      for (int again = 0; again < 500 && error == Error::kStoreRefused; ++again) {
        error = trial.put(i, value);
        if (error != Error::kNone) usleep(10'000), ++refused;
      }
      ASSERT_EQ(error, Error::kNone) << i;
      // Old records that are used stay, so survivors lie scattered among the evicted.
      trial.get(random() % (i + 1), into, StoreTrial::kPatienceNs);
      most = std::max(most, disk_bytes());
    }
    EXPECT_GT(backend->usage().evicted, count / 2);
    EXPECT_GT(backend->usage().bytes, options_.limit_bytes / 100 * 95) << "room is used";
    EXPECT_LT(most, options_.limit_bytes / 100 * 130) << (fifo ? "fifo" : "lru");
    EXPECT_GT(check_all(trial, count, kBytes), 140u);
    std::printf(
        "%s: at most %.0f %% of the limit on disk, %zu puts had to try again\n", fifo ? "fifo" : "lru",
        100.0 * static_cast<double>(most) / static_cast<double>(options_.limit_bytes), size_t{refused});
  }
}

TEST_F(RocksdbStore, BoundsTheDiskWhenValuesAreReplaced) {
  auto backend = open();
  StoreTrial trial = connect(*backend);
  std::mt19937_64 random(1);
  uint64_t most = 0;
  for (uint64_t i = 0; i < 400; ++i) {
    const uint64_t number = i < 100 ? i : random() % 100;
    const auto value = trial_value(number, 400'000);
    for (int again = 0; again < 500 && trial.put(number, value) != Error::kNone; ++again) usleep(10'000);
    most = std::max(most, disk_bytes());
  }
  EXPECT_EQ(check_all(trial, 100, 400'000), 100u);
  EXPECT_LT(most, options_.limit_bytes / 100 * 130);
}

TEST_F(RocksdbStore, ShrinksWhenTheLimitDoes) {
  options_.limit_bytes = 110'000'000;
  {
    auto backend = open();
    StoreTrial trial = connect(*backend);
    for (uint64_t i = 0; i < 200; ++i) ASSERT_EQ(trial.put(i, 400'000), Error::kNone);
  }
  options_.limit_bytes = 64'000'000;
  auto backend = open();
  StoreTrial trial = connect(*backend);
  EXPECT_EQ(trial.exists(199), Error::kNone);
  EXPECT_EQ(trial.exists(0), Error::kMiss);
  for (int i = 0; i < 300 && disk_bytes() > options_.limit_bytes / 100 * 130; ++i) usleep(20'000);
  EXPECT_LT(disk_bytes(), options_.limit_bytes / 100 * 130);
  EXPECT_LE(backend->usage().bytes, options_.limit_bytes);
}

constexpr int kCannotPrepare = 77;

/// Runs this very program again as a child that only plays `test`.
pid_t start_child(const char* test, const std::string& folder, bool (*prepare)(const char*) = nullptr) {
  const std::string filter = std::string("--gtest_filter=") + test;
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (prepare != nullptr && !prepare(folder.c_str())) _exit(kCannotPrepare);
    setenv("SHADOWSERVE_TEST_FOLDER", folder.c_str(), 1);
    execl("/proc/self/exe", "store_test", filter.c_str(), "--gtest_also_run_disabled_tests",
          "--gtest_brief=1", nullptr);
    _exit(127);
  }
  return child;
}

/// Played by a child of the next test: writes until it is killed.
TEST(RocksdbChild, DISABLED_Writes) {
  const char* folder = getenv("SHADOWSERVE_TEST_FOLDER");
  if (folder == nullptr) return;
  RocksdbOptions options;
  options.path = folder;
  options.limit_bytes = 64'000'000;
  std::string message;
  auto backend = open_rocksdb_store(options, message);
  ASSERT_TRUE(backend) << message;
  StoreTrial trial(std::move(*(*backend)->client(StoreTrial::clock(), 16)));
  std::ofstream told(std::string(folder) + ".told");
  for (uint64_t i = 0;; ++i) {
    if (trial.put(i % 600, 300'000) == Error::kNone) told << i % 600 << std::endl;
  }
}

size_t count_lines(const std::string& path) {
  std::ifstream file(path);
  size_t lines = 0;
  for (std::string line; std::getline(file, line);) ++lines;
  return lines;
}

TEST_F(RocksdbStore, SurvivesKillInTheMiddleOfWriting) {
  for (int round = 0; round < 4; ++round) {
    fs::remove(folder_ + ".told");
    const pid_t child = start_child("RocksdbChild.DISABLED_Writes", folder_);
    // The disk may be slow: let it write for a while first.
    for (int i = 0; i < 500 && count_lines(folder_ + ".told") < 30; ++i) usleep(20'000);
    usleep(70'000 * round);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    std::ifstream told(folder_ + ".told");
    uint64_t number = 0, last = UINT64_MAX;
    size_t puts = 0;
    while (told >> number) last = number, ++puts;
    ASSERT_GT(puts, 5u) << "the child was killed before it wrote";
    auto backend = open();
    StoreTrial trial = connect(*backend);
    const size_t there = check_all(trial, 600, 300'000);
    EXPECT_GT(there, 0u);
    EXPECT_EQ(there, backend->usage().records);
    EXPECT_EQ(trial.exists(last), Error::kNone) << "what was told to be stored is there";
  }
  fs::remove(folder_ + ".told");
}

TEST_F(RocksdbStore, SaysThatAnotherProcessUsesIt) {
  auto backend = open();
  EXPECT_NE(refusal().find("in use"), std::string::npos);
  EXPECT_NE(refusal().find(folder_), std::string::npos);
}

TEST_F(RocksdbStore, SaysWhatToDoAboutDamage) {
  {
    auto backend = open();
    StoreTrial trial = connect(*backend);
    for (uint64_t i = 0; i < 20; ++i) ASSERT_EQ(trial.put(i, 500'000), Error::kNone);
  }
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (!entry.path().filename().string().starts_with("MANIFEST")) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(20);
    file.write("damage", 6);
  }
  const std::string message = refusal();
  EXPECT_NE(message.find("rm -r"), std::string::npos) << message;
  EXPECT_NE(message.find(folder_), std::string::npos) << message;
}

TEST_F(RocksdbStore, RefusesForeignFoldersAndSmallLimits) {
  fs::create_directories(folder_);
  std::ofstream(folder_ + "/thesis.txt") << "years of work";
  EXPECT_NE(refusal().find("empty or new folder"), std::string::npos);
  EXPECT_TRUE(fs::exists(folder_ + "/thesis.txt"));
  fs::remove_all(folder_);
  options_.path = "/proc/nowhere";
  EXPECT_NE(refusal().find("/proc/nowhere"), std::string::npos);
  options_.path = folder_;
  options_.limit_bytes = 1000;
  EXPECT_NE(refusal().find("too small"), std::string::npos);
}

/// Played by a child of the next test, on a disk of its own.
TEST(RocksdbChild, DISABLED_FillsItsDisk) {
  const char* folder = getenv("SHADOWSERVE_TEST_FOLDER");
  if (folder == nullptr) return;
  RocksdbOptions options;
  options.path = std::string(folder) + "/store";
  options.limit_bytes = 100'000'000;
  std::string message;
  auto backend = open_rocksdb_store(options, message);
  ASSERT_TRUE(backend) << message;
  StoreTrial trial(std::move(*(*backend)->client(StoreTrial::clock(), 16)));
  for (uint64_t i = 0; i < 5; ++i) ASSERT_EQ(trial.put(i, 200'000), Error::kNone);
  const std::string ballast = std::string(folder) + "/ballast";
  {
    std::ofstream file(ballast);
    while (file << std::string(65536, 'x') << std::flush) {
    }
  }
  size_t refused = 0;
  for (uint64_t i = 10; i < 60; ++i) refused += trial.put(i, 200'000) == Error::kStoreRefused ? 1 : 0;
  ASSERT_GT(refused, 30u);
  for (uint64_t i = 0; i < 5; ++i) ASSERT_EQ(trial.get(i), trial_value(i, 200'000)) << "gets go on";
  fs::remove(ballast);
  Error error = Error::kStoreRefused;
  for (int i = 0; i < 500 && error != Error::kNone; ++i) error = trial.put(70, 200'000), usleep(20'000);
  ASSERT_EQ(error, Error::kNone) << "once there is room again puts work again";
  ASSERT_EQ(trial.get(70), trial_value(70, 200'000));
  for (uint64_t i = 0; i < 5; ++i) ASSERT_EQ(trial.get(i), trial_value(i, 200'000));
}

/// In a child: a mount namespace with a disk of 40 MB at `folder`; false where the system does not allow it.
bool mount_small_disk(const char* folder) {
  if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  return mount("tmpfs", folder, "tmpfs", 0, "size=40m") == 0;
}

TEST_F(RocksdbStore, RefusesPutsOnAFullDiskAndGoesOn) {
  fs::create_directories(folder_);
  const pid_t child = start_child("RocksdbChild.DISABLED_FillsItsDisk", folder_, mount_small_disk);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kCannotPrepare) GTEST_SKIP() << "no mount namespaces here";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "see the child's output above";
}

}  // namespace
}  // namespace shadowserve

/// The system's librocksdb is not built for the thread sanitizer, which therefore does not see how it
/// synchronizes.
extern "C" const char* __tsan_default_suppressions() {
  return "race:librocksdb.so\ncalled_from_lib:librocksdb.so\nmutex:librocksdb.so\ndeadlock:librocksdb.so\n";
}
