// Buckets by the highest bits of a duration.
#include "sim/fleet/fleet_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "sim/fleet/fleet_random.h"

namespace shadowserve::fleet {

uint32_t DurationHistogram::bucket_of(uint64_t duration_ns) {
  if (duration_ns < (1u << kSubBits)) return static_cast<uint32_t>(duration_ns);
  const auto shift = static_cast<uint32_t>(std::bit_width(duration_ns)) - 1 - kSubBits;
  return ((shift + 1) << kSubBits) + static_cast<uint32_t>((duration_ns >> shift) & ((1u << kSubBits) - 1));
}

int64_t DurationHistogram::upper_end_ns(uint32_t bucket) {
  const uint32_t group = bucket >> kSubBits, place = bucket & ((1u << kSubBits) - 1);
  if (group == 0) return place;
  return static_cast<int64_t>(((uint64_t{1} << kSubBits | place) + 1) << (group - 1)) - 1;
}

void DurationHistogram::add(int64_t duration_ns) {
  const auto duration = static_cast<uint64_t>(std::max<int64_t>(duration_ns, 0));
  ++buckets_[bucket_of(duration)];
  ++count_;
  sum_ns_ += static_cast<double>(duration);
}

int64_t DurationHistogram::percentile_ns(double part) const {
  const auto wanted =
      std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(part * static_cast<double>(count_))));
  uint64_t seen = 0;
  for (uint32_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    seen += buckets_[bucket];
    if (seen >= wanted && seen > 0) return upper_end_ns(bucket);
  }
  return 0;
}

double DurationHistogram::part_up_to(int64_t duration_ns) const {
  if (count_ == 0) return 0;
  const uint32_t last = bucket_of(static_cast<uint64_t>(std::max<int64_t>(duration_ns, 0)));
  uint64_t seen = 0;
  for (uint32_t bucket = 0; bucket <= last; ++bucket) seen += buckets_[bucket];
  return static_cast<double>(seen) / static_cast<double>(count_);
}

uint64_t DurationHistogram::fingerprint() const {
  uint64_t hash = count_;
  for (uint32_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    if (buckets_[bucket] > 0) hash = mixed(hash, mixed(bucket, buckets_[bucket]));
  }
  return hash;
}

}  // namespace shadowserve::fleet
