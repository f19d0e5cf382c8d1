// The rANS fuzzer's entry over its seeds and some thousand mutations of them, the same in every run.
#include <gtest/gtest.h>

#include "fuzz/byte_mutation.h"
#include "fuzz/rans_mutant.h"
#include "fuzz/seed_files.h"

namespace shadowserve {
namespace {

TEST(RansReplay, SeedsAndMutations) {
  const auto all = read_seeds(SHADOWSERVE_RANS_SEEDS);
  ASSERT_GE(all.size(), 5u);
  std::mt19937 random(20240302);
  int taken = 0, refused = 0;
  for (const auto& [name, seed] : all) {
    EXPECT_TRUE(decode_rans_mutant(seed)) << name;
    for (int i = 0; i < 400; ++i) {
      auto mutant = seed;
      mutate(mutant, random);
      (decode_rans_mutant(mutant) ? taken : refused) += 1;
    }
    for (size_t size = 0; size < seed.size(); size += 1 + size / 64) {
      EXPECT_FALSE(decode_rans_mutant(std::span(seed).first(size))) << name << " " << size;
    }
  }
  EXPECT_GT(refused, taken) << "most damage is noticed";
  EXPECT_GT(taken, 0) << "what does no harm is taken: literals have no redundancy";
}

}  // namespace
}  // namespace shadowserve
