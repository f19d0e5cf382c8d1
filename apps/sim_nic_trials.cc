// Small measurements of this machine.
#include "sim_nic_trials.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <ctime>
#include <thread>

#include "bench/bench_report.h"
#include "bench/bench_store.h"
#include "world/clock.h"

namespace shadowserve {
namespace {

constexpr int kWakes = 500;
constexpr uint64_t kBetweenNs = 100'000;  // about as long as a part takes
constexpr size_t kBlockBytes = 1u << 20;
constexpr size_t kRegionBytes = 96u << 20;
constexpr double kCopySeconds = 0.2;

uint64_t thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

/// Threads that compute on these cores until they die.
class BusyCores {
 public:
  explicit BusyCores(const std::vector<int>& cores) {
    for (const int core : cores) {
      threads_.emplace_back([this, core] {
        keep_to_cores(0, {core});
        while (!stop_.load(std::memory_order_relaxed)) continue;
      });
    }
  }
  ~BusyCores() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

class AnswerTrial final : public Trial {
 public:
  AnswerTrial(std::vector<int> cores, bool busy)
      : allowed_(std::move(cores)), others_(allowed_.begin(), allowed_.end() - 1), busy_(busy) {
    row.table = "machine", row.name = busy ? "answer, cores busy" : "answer";
  }
  void repeat(bool counted) override {
    const BusyCores busy(busy_ ? others_ : std::vector<int>());
    const int bell = eventfd(0, EFD_NONBLOCK);
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> used_ns{0};
    std::thread sleeper([&] {
      // Where the plane has every core the scheduler places the client.
      keep_to_cores(0, busy_ || others_.empty() ? allowed_ : others_);
      const uint64_t begun_ns = thread_cpu_ns();
      while (!stop.load()) {
        pollfd waits{bell, POLLIN, 0};
        poll(&waits, 1, 100);
        uint64_t count = 0;
        [[maybe_unused]] const auto got = read(bell, &count, sizeof count);
      }
      used_ns = thread_cpu_ns() - begun_ns;
    });
    keep_to_cores(0, {allowed_.back()});
    MonotonicClock clock;
    uint64_t rung_ns = 0;
    for (int i = 0; i < kWakes; ++i) {
      for (const uint64_t until = clock.now_ns() + kBetweenNs; clock.now_ns() < until;) continue;
      // Of this thread: on a busy machine whoever it woke may have its core before it goes on.
      const uint64_t one = 1, begun_ns = thread_cpu_ns();
      [[maybe_unused]] const auto written = write(bell, &one, sizeof one);
      rung_ns += thread_cpu_ns() - begun_ns;
    }
    stop = true;
    sleeper.join();
    close(bell);
    keep_to_cores(0, allowed_);
    if (!counted) return;
    add_rate(kAnswerNs, static_cast<double>(rung_ns) / kWakes * 1e9, 1);
    add_rate(kClientNs, static_cast<double>(used_ns.load()) / kWakes * 1e9, 1);
  }

 private:
  std::vector<int> allowed_, others_;  // others: all but the last, which rings
  bool busy_;
};

class MemoryTrial final : public Trial {
 public:
  explicit MemoryTrial(std::vector<int> cores) : cores_(std::move(cores)) {
    row.table = "machine", row.name = "memory";
  }
  void repeat(bool counted) override {
    std::atomic<uint64_t> moved{0};
    std::atomic<size_t> waiting{cores_.size()};
    std::vector<std::thread> threads;
    for (const int core : cores_) {
      threads.emplace_back([&, core] {
        keep_to_cores(0, {core});
        std::vector<char> from(kRegionBytes, 1), to(kRegionBytes, 2);
        waiting.fetch_sub(1);
        while (waiting.load() > 0) continue;
        Stopwatch watch;
        watch.start();
        uint64_t bytes = 0;
        for (double seconds = 0; seconds < kCopySeconds; seconds = watch.seconds()) {
          std::memcpy(to.data() + bytes % kRegionBytes, from.data() + bytes % kRegionBytes, kBlockBytes);
          bytes += kBlockBytes;
          watch.stop();
          watch.start();
        }
        // Ordinary stores read a line before they write it.
        moved.fetch_add(static_cast<uint64_t>(3 * static_cast<double>(bytes) / watch.seconds()));
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (counted) add_rate(kCopyMoved, static_cast<double>(moved.load()), 1);
  }

 private:
  std::vector<int> cores_;
};

}  // namespace

std::unique_ptr<Trial> answer_trial(std::vector<int> cores, bool busy) {
  return std::make_unique<AnswerTrial>(std::move(cores), busy);
}
std::unique_ptr<Trial> memory_trial(std::vector<int> cores) {
  return std::make_unique<MemoryTrial>(std::move(cores));
}

}  // namespace shadowserve
