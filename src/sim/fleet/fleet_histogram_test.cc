// Percentiles are those of the sorted durations, to a bucket.
#include "sim/fleet/fleet_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "sim/fleet/fleet_random.h"

namespace shadowserve::fleet {
namespace {

TEST(DurationHistogram, PercentilesAreWithinABucket) {
  DurationHistogram histogram;
  RandomStream stream(5, "durations");
  std::vector<int64_t> all;
  for (int i = 0; i < 50'000; ++i) {
    all.push_back(static_cast<int64_t>(stream.lognormal(2e8, 2)));
    histogram.add(all.back());
  }
  std::sort(all.begin(), all.end());
  for (const double part : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const auto exact = static_cast<double>(all[static_cast<size_t>(part * 50'000) - 1]);
    const auto found = static_cast<double>(histogram.percentile_ns(part));
    EXPECT_GE(found, exact);
    EXPECT_LE(found, exact * (1 + 1.0 / 64));
  }
  EXPECT_NEAR(histogram.part_up_to(all[25'000]), 0.5, 0.01);
}

TEST(DurationHistogram, SmallAndHugeDurationsHaveAPlace) {
  DurationHistogram histogram;
  EXPECT_EQ(histogram.percentile_ns(0.5), 0);
  for (const int64_t duration : {int64_t{0}, int64_t{1}, int64_t{63}, int64_t{64}, INT64_MAX})
    histogram.add(duration);
  EXPECT_EQ(histogram.percentile_ns(0.2), 0);
  EXPECT_EQ(histogram.percentile_ns(0.6), 63);
  EXPECT_EQ(histogram.percentile_ns(0.8), 64);
  EXPECT_EQ(histogram.percentile_ns(1), INT64_MAX);
}

TEST(DurationHistogram, FingerprintSeesOneDuration) {
  DurationHistogram one, two;
  one.add(1'000), two.add(1'000);
  EXPECT_EQ(one.fingerprint(), two.fingerprint());
  two.add(2'000);
  EXPECT_NE(one.fingerprint(), two.fingerprint());
}

}  // namespace
}  // namespace shadowserve::fleet
