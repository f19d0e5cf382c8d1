// A lane that goes round does the pipeline's work: it delivers every part to its place.
#include "bench/lane_circle.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

namespace shadowserve {
namespace {

PipelineBenchOptions small_bench(bool separate_stages) {
  PipelineBenchOptions options;
  options.dump.shape = "4x2x512x8x128";
  options.store = "memory";
  options.fetch_slots = 4;
  options.separate_stages = separate_stages;
  return options;
}

class LaneCircleTest : public testing::TestWithParam<bool> {};

TEST_P(LaneCircleTest, DeliversEveryPartToItsPlace) {
  PipelineBench bench(small_bench(GetParam()));
  const BenchInput& input = bench.input();
  std::memset(bench.staging()->data(), 0xff, bench.staging()->size());
  LaneCircle lane(bench, -1, GetParam());
  constexpr uint64_t kParts = 20;
  for (int ms = 0; lane.tally().parts < kParts && ms < 20'000; ++ms) usleep(1000);
  lane.stop();
  lane.expect_no_failure();
  const LaneTally tally = lane.tally();
  ASSERT_GE(tally.parts, kParts);
  EXPECT_GT(tally.cpu_ns, 0u);

  const size_t bytes = part_shape(input.geometry(), 0).value_bytes();
  const size_t places = bench.staging()->size() / bytes;
  // Those under way when it was stopped have begun to overwrite the oldest.
  const uint64_t issued = tally.parts + bench.options().fetch_slots;
  const uint64_t oldest = issued > places ? issued - places : 0;
  uint64_t right = 0, swapped = 0;
  for (uint64_t number = oldest; number < tally.parts; ++number) {
    const std::byte* place = bench.staging()->data() + number % places * bytes;
    const auto part = static_cast<uint32_t>(number % input.parts());
    right += std::memcmp(place, bench.expected(part).data(), bytes) == 0;
    swapped += std::memcmp(place, bench.expected((part + 1) % input.parts()).data(), bytes) == 0;
  }
  EXPECT_EQ(right, tally.parts - oldest);
  EXPECT_EQ(swapped, 0u) << "negative control: parts differ";
  uint64_t busy_ns = 0;
  for (const auto& [name, ns] : tally.busy_ns) busy_ns += ns;
  EXPECT_GT(busy_ns, 0u);
}

INSTANTIATE_TEST_SUITE_P(Ways, LaneCircleTest, testing::Bool(),
                         [](const auto& way) { return way.param ? "SeparateStages" : "OnePass"; });

}  // namespace
}  // namespace shadowserve
