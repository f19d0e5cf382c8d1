// The plan's arithmetic: what limits, what is chosen, and where the choice changes.
#include "plan_choice.h"

#include <gtest/gtest.h>

namespace shadowserve {
namespace {

const ProfileCost kRaw{"raw", 1, 10e9, 0};
const ProfileCost kPacked{"packed", 4, 10e9, 0.01};
const ProfileCost kDense{"dense", 5, 2e9, 0.01};
const ProfileCost kCoarse{"coarse", 8, 10e9, 0.5};

Deployment deployment(double link_per_s, double cores = 1) {
  return {link_per_s, cores, /*value_bytes=*/1e9, /*part_bytes=*/1e6, 0};
}

TEST(PlanChoice, TheSlowerResourceIsTheLimit) {
  const PlanLine slow_link = plan_line(kDense, deployment(0.1e9));
  EXPECT_TRUE(slow_link.link_bound());
  EXPECT_DOUBLE_EQ(slow_link.wire_bytes, 0.2e9);
  EXPECT_DOUBLE_EQ(slow_link.link_s, 2);
  EXPECT_NEAR(slow_link.fetch_s, 2, 0.01);
  const PlanLine fast_link = plan_line(kDense, deployment(10e9));
  EXPECT_FALSE(fast_link.link_bound());
  EXPECT_NEAR(fast_link.fetch_s, 0.5 + 0.04, 0.01);
  EXPECT_NEAR(plan_line(kDense, deployment(10e9, 4)).core_s, fast_link.core_s / 4, 1e-9);
}

TEST(PlanChoice, DenseOnSlowLinksPlainOnFastOnes) {
  const std::vector<ProfileCost> costs = {kRaw, kPacked, kDense, kCoarse};
  const auto chosen = [&](double link, double divergence_max) {
    std::vector<PlanLine> lines;
    for (const ProfileCost& cost : costs) lines.push_back(plan_line(cost, deployment(link)));
    return lines[choose_line(lines, divergence_max)].cost.name;
  };
  EXPECT_EQ(chosen(0.1e9, 0.02), "dense");
  EXPECT_EQ(chosen(1e9, 0.02), "packed");
  EXPECT_EQ(chosen(1e9, 0), "raw") << "nothing may be lost";
  EXPECT_EQ(chosen(0.1e9, 1), "coarse");
  EXPECT_EQ(chosen(1000e9, 0.02), "packed") << "even then receiving raw bytes costs core time";
}

TEST(PlanChoice, CrossoversAscendAndAgreeWithTheChoice) {
  const std::vector<ProfileCost> costs = {kRaw, kPacked, kDense, kCoarse};
  const auto changes = crossovers(costs, deployment(1e9), 0.02);
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].profile, "dense");
  EXPECT_EQ(changes[1].profile, "packed");
  // Packed on the link takes as long as dense on the core: 0.25 GB / link = 0.54 s.
  EXPECT_NEAR(changes[1].link_per_s, 0.25e9 / 0.54, 0.02e9);
}

}  // namespace
}  // namespace shadowserve
