// Who has how many fetches: what the plane divides records between its lanes by.
#pragma once

#include <cstdint>
#include <vector>

#include "plane/lane_speed.h"

namespace shadowserve {

/// Kept by the first loop's thread, which admits fetches and answers them. Parts are of about equal size, so
/// what a lane has to do is counted in slots, and its speed is what it was last measured to achieve.
class LaneLedger {
 public:
  /// At start, in the order of the lanes.
  void add(const LaneSpeed& speed) { lanes_.push_back({&speed, 0}); }

  /// The lane that is expected to be done first with one more fetch of this profile; it is counted there.
  uint32_t assign(ProfileId profile) {
    uint32_t best = 0;
    int64_t best_ps = INT64_MAX;
    for (uint32_t i = 0; i < lanes_.size(); ++i) {
      const int64_t ps = (int64_t{lanes_[i].fetches} + 1) * lanes_[i].speed->ps_per_byte(profile);
      if (ps < best_ps) best = i, best_ps = ps;
    }
    ++lanes_[best].fetches;
    return best;
  }
  /// The fetch was answered.
  void release(uint32_t lane) { --lanes_[lane].fetches; }
  uint32_t fetches(uint32_t lane) const { return lanes_[lane].fetches; }

 private:
  struct Lane {
    const LaneSpeed* speed;
    uint32_t fetches;  ///< assigned and not answered
  };
  std::vector<Lane> lanes_;
};

}  // namespace shadowserve
