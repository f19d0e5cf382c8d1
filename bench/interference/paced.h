// Work in pieces at a chosen rate, in a thread of its own, for deliverers of the interference bench.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>

namespace shadowserve {

/// Calls `more` whenever the next piece is due; `more` returns the bytes it moved since the last call (0
/// where it has no room at the moment). With a rate of 0 pieces are always due.
class Paced {
 public:
  Paced(double bytes_per_s, std::function<uint64_t(bool due)> more)
      : thread_([this, bytes_per_s, more = std::move(more)] { run(bytes_per_s, more); }) {}
  ~Paced() { stop(); }
  Paced(const Paced&) = delete;
  Paced& operator=(const Paced&) = delete;

  /// Bytes moved so far.
  uint64_t bytes() const { return bytes_; }
  void stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run(double bytes_per_s, const std::function<uint64_t(bool)>& more) {
    const auto start = std::chrono::steady_clock::now();
    while (!stopping_) {
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      const bool due = bytes_per_s == 0 || static_cast<double>(bytes_) < bytes_per_s * seconds;
      bytes_ += more(due);
    }
  }

  std::atomic<bool> stopping_ = false;
  std::atomic<uint64_t> bytes_ = 0;
  std::thread thread_;  // last: it uses the others
};

}  // namespace shadowserve
