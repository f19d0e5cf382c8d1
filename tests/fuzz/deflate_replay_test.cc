// The Deflate fuzzer's entry over its seeds and some thousand mutations of them, the same in every run.
#include <gtest/gtest.h>

#include "fuzz/byte_mutation.h"
#include "fuzz/deflate_mutant.h"
#include "fuzz/seed_files.h"

namespace shadowserve {
namespace {

TEST(DeflateReplay, SeedsAndMutations) {
  const auto all = read_seeds(SHADOWSERVE_DEFLATE_SEEDS);
  ASSERT_GE(all.size(), 8u);
  std::mt19937 random(20240301);
  int decoded = 0;
  for (const Seed& seed : all) {
    EXPECT_EQ(decode_mutant(seed.bytes), seed.name.starts_with("literals")) << seed.name;
    for (int i = 0; i < 500; ++i) {
      auto mutant = seed.bytes;
      mutate(mutant, random);
      decoded += decode_mutant(mutant);
    }
    for (size_t size = 0; size < seed.bytes.size(); ++size) {
      EXPECT_FALSE(decode_mutant(std::span(seed.bytes).first(size))) << seed.name << " " << size;
    }
  }
  EXPECT_GT(decoded, 100);
}

}  // namespace
}  // namespace shadowserve
