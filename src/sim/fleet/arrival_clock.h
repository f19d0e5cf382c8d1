// When somebody new asks: a Poisson process on a random stream of its own.
#pragma once

#include <cstdint>
#include <string_view>

#include "sim/fleet/fleet_events.h"
#include "sim/fleet/fleet_random.h"

namespace shadowserve::fleet {

class ArrivalClock {
 public:
  /// `gap_s`: the mean between two arrivals.
  ArrivalClock(uint64_t seed, std::string_view stream, double gap_s) : gaps_(seed, stream), gap_s_(gap_s) {
    advance();
  }
  /// Of the next arrival; the same until advance().
  int64_t next_ns() const { return next_ns_; }
  void advance() {
    at_s_ += gaps_.exponential(gap_s_);
    next_ns_ = static_cast<int64_t>(at_s_ * kNsPerSecond);
  }

 private:
  RandomStream gaps_;
  double gap_s_;
  double at_s_ = 0;
  int64_t next_ns_ = 0;
};

}  // namespace shadowserve::fleet
