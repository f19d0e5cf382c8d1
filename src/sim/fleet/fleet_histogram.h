// Percentiles of many durations in little memory: buckets that grow with what they hold.
#pragma once

#include <array>
#include <cstdint>

namespace shadowserve::fleet {

/// 64 buckets for each power of two: a percentile is at most 1.6 % above the true one. Durations in ns, from
/// 0 on.
class DurationHistogram {
 public:
  void add(int64_t duration_ns);
  uint64_t count() const { return count_; }
  double mean_ns() const { return count_ == 0 ? 0 : sum_ns_ / static_cast<double>(count_); }
  /// The upper end of the bucket in which `part` (0..1) of all durations is reached; 0 when there are none.
  int64_t percentile_ns(double part) const;
  /// Of all durations the part that is at most `duration_ns`, to a bucket.
  double part_up_to(int64_t duration_ns) const;
  /// Changes when any count does.
  uint64_t fingerprint() const;

 private:
  static constexpr uint32_t kSubBits = 6;
  static uint32_t bucket_of(uint64_t duration_ns);
  static int64_t upper_end_ns(uint32_t bucket);

  std::array<uint64_t, (65 - kSubBits) << kSubBits> buckets_{};
  uint64_t count_ = 0;
  double sum_ns_ = 0;
};

}  // namespace shadowserve::fleet
