// The fuzzer's entry over the golden records and a few thousand mutations of them, the same in every run.
#include <gtest/gtest.h>

#include "fuzz/byte_mutation.h"
#include "fuzz/record_mutant.h"
#include "fuzz/seed_files.h"

namespace shadowserve {
namespace {

TEST(RecordReplay, GoldenRecordsAndMutations) {
  const auto records = read_seeds(SHADOWSERVE_GOLDEN_DIR, ".rec");
  ASSERT_GE(records.size(), 10u);
  std::mt19937 random(20240229);
  int decoded = 0;
  for (const auto& [name, record] : records) {
    EXPECT_TRUE(open_mutant(record)) << name;
    for (int i = 0; i < 400; ++i) {
      auto mutant = record;
      mutate(mutant, random);
      decoded += open_mutant(mutant);
    }
    for (size_t size = 0; size < record.size(); size += 1 + size / 16) {
      EXPECT_FALSE(open_mutant(std::span(record).first(size))) << name << " " << size;
    }
  }
  EXPECT_GT(decoded, 100);
}

}  // namespace
}  // namespace shadowserve
