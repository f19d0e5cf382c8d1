// The calibration fuzzer's entry over its seeds and some thousand mutations of them, the same in every run.
#include <gtest/gtest.h>

#include "fuzz/byte_mutation.h"
#include "fuzz/calibration_mutant.h"
#include "fuzz/seed_files.h"

namespace shadowserve {
namespace {

TEST(CalibrationReplay, SeedsAndMutations) {
  const auto all = read_seeds(SHADOWSERVE_CALIBRATION_SEEDS);
  ASSERT_GE(all.size(), 5u);
  std::mt19937 random(20240303);
  int taken = 0, refused = 0;
  for (const auto& [name, seed] : all) {
    EXPECT_TRUE(read_calibration_mutant(seed)) << name;
    for (int i = 0; i < 1000; ++i) {
      auto mutant = seed;
      mutate(mutant, random);
      (read_calibration_mutant(mutant) ? taken : refused) += 1;
    }
    for (size_t size = 0; size < seed.size(); ++size) {
      EXPECT_FALSE(read_calibration_mutant(std::span(seed).first(size))) << name << " " << size;
    }
  }
  EXPECT_GT(refused, 1000) << "what contradicts itself is noticed";
  EXPECT_GT(taken, 100) << "other means, steps and sinks are as good";
}

}  // namespace
}  // namespace shadowserve
