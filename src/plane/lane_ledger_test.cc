// Fetches are divided by what lanes achieve and by what they have.
#include "plane/lane_ledger.h"

#include <gtest/gtest.h>

#include <array>

namespace shadowserve {
namespace {

constexpr ProfileId kProfile = ProfileId::kRaw;

TEST(LaneLedgerTest, EqualLanesGetEqualShares) {
  std::array<LaneSpeed, 3> speeds;
  LaneLedger ledger;
  for (const LaneSpeed& speed : speeds) ledger.add(speed);
  for (int i = 0; i < 12; ++i) ledger.assign(kProfile);
  for (uint32_t lane = 0; lane < 3; ++lane) EXPECT_EQ(ledger.fetches(lane), 4u);
}

TEST(LaneLedgerTest, ALaneThatIsThreeTimesFasterGetsThreeTimesAsMuch) {
  std::array<LaneSpeed, 2> speeds;
  speeds[0].note(kProfile, 1'000'000, 300'000);
  speeds[1].note(kProfile, 1'000'000, 100'000);
  LaneLedger ledger;
  for (const LaneSpeed& speed : speeds) ledger.add(speed);
  for (int i = 0; i < 16; ++i) ledger.assign(kProfile);
  EXPECT_EQ(ledger.fetches(0), 4u);
  EXPECT_EQ(ledger.fetches(1), 12u);
}

TEST(LaneLedgerTest, WhoHasFinishedGetsTheNext) {
  std::array<LaneSpeed, 2> speeds;
  LaneLedger ledger;
  for (const LaneSpeed& speed : speeds) ledger.add(speed);
  EXPECT_EQ(ledger.assign(kProfile), 0u);
  EXPECT_EQ(ledger.assign(kProfile), 1u);
  EXPECT_EQ(ledger.assign(kProfile), 0u);
  ledger.release(0);
  ledger.release(0);
  EXPECT_EQ(ledger.assign(kProfile), 0u) << "lane 1 still has one";
}

}  // namespace
}  // namespace shadowserve
