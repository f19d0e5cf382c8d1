// Steps are as long as what runs in them, and events fall where steps end.
#include "sim/fleet/step_clock.h"

#include <gtest/gtest.h>

#include "sim/fleet/fleet_events.h"

namespace shadowserve::fleet {
namespace {

constexpr int64_t kMs = 1'000'000;

/// A step: 10 ms, and 1 ms a sequence. A prompt token: 10 us.
EngineParameters plain() {
  EngineParameters made;
  made.prefill_us_per_token = 10;
  made.step_ms = 10;
  made.step_us_per_sequence = 1'000;
  made.step_tokens_max = 2'000;
  return made;
}

TEST(StepClock, ASequenceGetsATokenAStep) {
  const EngineParameters engine = plain();
  StepClock clock(&engine);
  EXPECT_EQ(clock.next_ns(), kNever);
  clock.advance(5 * kMs);
  clock.join(7, 3, 0);
  EXPECT_EQ(clock.next_ns(), 5 * kMs + 33 * kMs);
  clock.advance(16 * kMs);  // after one step a second one joins: steps take 12 ms
  clock.join(8, 5, 0);
  EXPECT_EQ(clock.next_ns(), 16 * kMs + 24 * kMs);
  uint32_t left = 0;
  clock.advance(39 * kMs);
  EXPECT_FALSE(clock.leave_one(left));
  clock.advance(40 * kMs);
  ASSERT_TRUE(clock.leave_one(left));
  EXPECT_EQ(left, 7u);
  EXPECT_FALSE(clock.leave_one(left));
  EXPECT_EQ(clock.next_ns(), 40 * kMs + 33 * kMs);
  EXPECT_EQ(clock.busy_ns(), 35 * kMs);
}

TEST(StepClock, PromptsMakeStepsLonger) {
  const EngineParameters engine = plain();
  StepClock clock(&engine);
  clock.join(7, 2, 0);
  clock.begin_prefill(5'000,
                      engine.prefill_ns(5'000, 0));  // 50 ms in 3 steps, each with 1 ms for the sequence
  uint32_t left = 0;
  clock.advance(2 * (50 * kMs / 3 + 1 * kMs) + 1);
  EXPECT_TRUE(clock.leave_one(left));  // two tokens took two long steps instead of 22 ms
  EXPECT_FALSE(clock.end_prefill());
  EXPECT_NEAR(static_cast<double>(clock.next_ns()), 52e6, 5);  // the last one is alone
  clock.advance(clock.next_ns());
  EXPECT_TRUE(clock.end_prefill());
  EXPECT_FALSE(clock.end_prefill());
  EXPECT_EQ(clock.next_ns(), kNever);
}

TEST(StepClock, AShortPromptTakesAStepThatReadsTheWeights) {
  const EngineParameters engine = plain();
  StepClock clock(&engine);
  clock.begin_prefill(100, engine.prefill_ns(100, 0));  // 1 ms of products
  EXPECT_EQ(clock.next_ns(), 10 * kMs);
}

TEST(EngineParameters, AttentionGrowsWithWhatIsBefore) {
  EngineParameters engine = plain();
  engine.prefill_ps_per_token2 = 1'000;
  const double whole = engine.prefill_ns(3'000, 0);
  EXPECT_NEAR(engine.prefill_ns(1'000, 0) + engine.prefill_ns(2'000, 1'000), whole, 1);
  EXPECT_GT(engine.prefill_ns(1'000, 2'000), engine.prefill_ns(1'000, 0));
}

}  // namespace
}  // namespace shadowserve::fleet
