// Links share and queue as theory says.
#include "sim/fleet/fair_link.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "sim/fleet/fleet_events.h"
#include "sim/fleet/fleet_random.h"

namespace shadowserve::fleet {
namespace {

constexpr double kRate = 1e9;  // a byte a nanosecond
constexpr int64_t kUs = 1'000;

int64_t end_of_next(FairLink& link, uint32_t flow) {
  const int64_t at = link.next_end_ns();
  FairLink::Ended ended;
  EXPECT_TRUE(link.end_one(at, ended));
  EXPECT_EQ(ended.flow, flow);
  return at;
}

TEST(FairLink, TwoFlowsShareIt) {
  FairLink link(kRate);
  link.add(0, 1, 1'000'000);          // alone for 500 us: half of it comes
  link.add(500 * kUs, 2, 1'000'000);  // both get half the rate: the first needs 1,000 us more
  EXPECT_EQ(end_of_next(link, 1), 1'500 * kUs);
  EXPECT_EQ(end_of_next(link, 2), 2'000 * kUs);  // of the second 500 KB are left, at the whole rate
  EXPECT_EQ(link.next_end_ns(), kNever);
  EXPECT_EQ(link.carried_bytes(), 2'000'000u);
  EXPECT_EQ(link.busy_ns(3'000 * kUs), 2'000 * kUs);
  // The control: in order the first would not have noticed.
  FifoLink fifo(kRate);
  EXPECT_EQ(fifo.serve(0, 1'000'000), 1'000 * kUs);
  EXPECT_EQ(fifo.serve(500 * kUs, 1'000'000), 2'000 * kUs);
}

TEST(FairLink, FlowsCanBeTakenOffAndRatesChange) {
  FairLink link(kRate);
  link.add(0, 1, 1'000'000);
  link.add(0, 2, 1'000'000);
  EXPECT_EQ(link.remove(400 * kUs, 2), 200'000u);
  EXPECT_EQ(link.remove(400 * kUs, 2), 0u);
  EXPECT_EQ(link.next_end_ns(), 1'200 * kUs);
  link.set_rate(400 * kUs, 0);
  EXPECT_EQ(link.next_end_ns(), kNever);
  link.set_rate(1'000 * kUs, kRate / 2);
  EXPECT_EQ(end_of_next(link, 1), 2'600 * kUs);
  EXPECT_EQ(link.carried_bytes(), 1'200'000u);
}

/// Mean time from arrival to end of Poisson arrivals with `size` bytes each, at a load of `load`.
double mean_sojourn_ns(double load, int count, const std::function<double(RandomStream&)>& size,
                       double mean_size) {
  FairLink link(kRate);
  RandomStream arrivals(11, "arrivals"), sizes(11, "sizes");
  std::vector<int64_t> begun;
  double at_ns = 0, sum_ns = 0;
  int done = 0;
  const auto end_until = [&](int64_t now_ns) {
    while (link.next_end_ns() <= now_ns) {
      const int64_t end_ns = link.next_end_ns();
      for (FairLink::Ended ended; link.end_one(end_ns, ended); ++done) {
        sum_ns += static_cast<double>(end_ns - begun[ended.flow]);
      }
    }
  };
  for (int i = 0; i < count; ++i) {
    at_ns += arrivals.exponential(mean_size / load);
    const auto now_ns = static_cast<int64_t>(at_ns);
    end_until(now_ns);
    begun.push_back(now_ns);
    link.add(now_ns, static_cast<uint32_t>(i), static_cast<uint64_t>(size(sizes)));
  }
  end_until(kNever - 1);
  EXPECT_EQ(done, count);
  return sum_ns / count;
}

/// With processor sharing the mean time is size / (1 - load), whatever the sizes' distribution.
TEST(FairLink, MeanTimeIsThatOfProcessorSharing) {
  constexpr double kSize = 1e6, kLoad = 0.7, kExpected = kSize / (1 - kLoad);
  const double exponential = mean_sojourn_ns(
      kLoad, 200'000, [](RandomStream& stream) { return stream.exponential(kSize); }, kSize);
  const double equal = mean_sojourn_ns(
      kLoad, 200'000, [](RandomStream&) { return kSize; }, kSize);
  EXPECT_NEAR(exponential / kExpected, 1, 0.03);
  EXPECT_NEAR(equal / kExpected, 1, 0.03);
  // The control: served in order, equal sizes would take size * (1 + load / (2 * (1 - load))).
  EXPECT_GT(std::abs(equal / (kSize * (1 + kLoad / (2 * (1 - kLoad)))) - 1), 0.3);
}

double mean_wait_ns(double load, bool equal_sizes) {
  constexpr double kSize = 1e6;
  FifoLink link(kRate);
  RandomStream arrivals(13, "arrivals"), sizes(13, "sizes");
  double at_ns = 0, waited_ns = 0;
  constexpr int kCount = 400'000;
  for (int i = 0; i < kCount; ++i) {
    at_ns += arrivals.exponential(kSize / load);
    const auto now_ns = static_cast<int64_t>(at_ns);
    const auto bytes = static_cast<uint64_t>(equal_sizes ? kSize : sizes.exponential(kSize));
    const int64_t end_ns = link.serve(now_ns, bytes);
    waited_ns += static_cast<double>(end_ns - now_ns) - static_cast<double>(bytes);
  }
  return waited_ns / kCount;
}

TEST(FifoLink, WaitsAreThoseOfMM1AndMD1) {
  constexpr double kLoad = 0.7, kMm1 = 1e6 * kLoad / (1 - kLoad);
  EXPECT_NEAR(mean_wait_ns(kLoad, false) / kMm1, 1, 0.04);
  EXPECT_NEAR(mean_wait_ns(kLoad, true) / (kMm1 / 2), 1, 0.04);
  EXPECT_GT(std::abs(mean_wait_ns(0.6, false) / kMm1 - 1), 0.2);  // the control: another load
}

TEST(FifoLink, RequestsCanBeTheLimit) {
  FifoLink link(kRate);
  EXPECT_EQ(link.serve(0, 1'000, 50 * kUs), 50 * kUs);
  EXPECT_EQ(link.serve(0, 1'000, 0), 51 * kUs);
  EXPECT_EQ(link.busy_ns(20 * kUs), 20 * kUs);
  link.reset(20 * kUs);
  EXPECT_EQ(link.serve(20 * kUs, 1'000), 21 * kUs);
  EXPECT_EQ(link.busy_ns(30 * kUs), 21 * kUs);
}

}  // namespace
}  // namespace shadowserve::fleet
