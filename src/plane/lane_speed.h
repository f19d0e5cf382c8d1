// How fast a lane turns records into values: what records are divided between lanes by.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "codec/profile.h"

namespace shadowserve {

/// Measured per profile on a sample at start and then on the records that pass, in the time that passed
/// rather than in the lane's own: a lane whose thread has other stages to serve is slower, and gets less. The
/// lane's thread notes, anyone reads.
class LaneSpeed {
 public:
  /// `bytes` of values took `ns`. The speed is the mean of about the last eight notes.
  void note(ProfileId profile, uint64_t bytes, uint64_t ns) {
    auto& speed = ps_per_byte_[static_cast<size_t>(profile)];
    const auto sample = static_cast<int64_t>(ns * 1000 / (bytes > 0 ? bytes : 1)) + 1;
    const int64_t before = speed.load(std::memory_order_relaxed);
    speed.store(before == 0 ? sample : before + (sample - before) / 8, std::memory_order_relaxed);
  }

  /// Picoseconds a byte of values; what 5 GB/s would take while nothing was measured.
  int64_t ps_per_byte(ProfileId profile) const {
    const int64_t speed = ps_per_byte_[static_cast<size_t>(profile)].load(std::memory_order_relaxed);
    return speed == 0 ? kPsPerByteUnknown : speed;
  }

 private:
  static constexpr int64_t kPsPerByteUnknown = 200;
  std::array<std::atomic<int64_t>, kProfileCount> ps_per_byte_{};
};

}  // namespace shadowserve
