// Seam: time. The real clock is monotonic; tests and the simulator turn a virtual one by hand.
#pragma once

#include <cstdint>

namespace shadowserve {

/// Nanoseconds on a clock that never goes back. On one host it is CLOCK_MONOTONIC, so that two processes may
/// compare deadlines; across hosts only durations may be sent.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual uint64_t now_ns() const = 0;
};

class MonotonicClock final : public Clock {
 public:
  uint64_t now_ns() const override;
};

/// Stands still until it is moved. One thread.
class VirtualClock final : public Clock {
 public:
  uint64_t now_ns() const override { return now_ns_; }
  void advance_ns(uint64_t ns) { now_ns_ += ns; }

 private:
  uint64_t now_ns_ = 1'000'000'000;
};

inline constexpr uint64_t kNsPerUs = 1'000;
inline constexpr uint64_t kNsPerMs = 1'000'000;

}  // namespace shadowserve
