// Test support: how long something took on a machine that others use as well.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace shadowserve {

/// Time since its construction, less the stretches in which nothing here was given a core: a thread of its
/// own asks for one every millisecond, and what it gets later than `kForgiven` is left out. Whoever waits for
/// an answer, a lock or a timer counts in full. One thread reads it.
class Stopwatch {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kTick{1}, kForgiven{10};

  Stopwatch() : began_(Clock::now()), ticked_(began_), thread_([this] { tick(); }) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  std::chrono::nanoseconds elapsed() const {
    const std::lock_guard lock(mutex_);
    const Clock::time_point now = Clock::now();
    return now - began_ - lost_ - late(now);
  }

 private:
  void tick() {
    std::unique_lock lock(mutex_);
    while (!ends_) {
      wake_.wait_for(lock, kTick);
      const Clock::time_point now = Clock::now();
      lost_ += late(now);
      ticked_ = now;
    }
  }
  /// What the next tick is behind its time at `now`, beyond what every machine does.
  std::chrono::nanoseconds late(Clock::time_point now) const {
    const std::chrono::nanoseconds since = now - ticked_;
    return since > kTick + kForgiven ? since - kTick : std::chrono::nanoseconds{0};
  }

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  const Clock::time_point began_;
  Clock::time_point ticked_;
  std::chrono::nanoseconds lost_{0};
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace shadowserve
