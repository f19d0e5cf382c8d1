// The fuzzer's entry over the golden records and a few thousand mutations of them, the same in every run.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "fuzz/byte_mutation.h"
#include "fuzz/record_mutant.h"

namespace shadowserve {
namespace {

std::vector<std::vector<std::byte>> golden_records() {
  std::vector<std::filesystem::path> paths;
  for (const auto& file : std::filesystem::directory_iterator(SHADOWSERVE_GOLDEN_DIR)) {
    if (file.path().extension() == ".rec") paths.push_back(file.path());
  }
  std::sort(paths.begin(), paths.end());  // directories have no order, mutations need one
  std::vector<std::vector<std::byte>> records;
  for (const auto& path : paths) {
    std::ifstream in(path, std::ios::binary);
    const std::vector<char> chars{std::istreambuf_iterator<char>(in), {}};
    const auto bytes = std::as_bytes(std::span(chars));
    records.emplace_back(bytes.begin(), bytes.end());
  }
  return records;
}

TEST(RecordReplay, GoldenRecordsAndMutations) {
  const auto records = golden_records();
  ASSERT_GE(records.size(), 10u);
  std::mt19937 random(20240229);
  int decoded = 0;
  for (const auto& record : records) {
    EXPECT_TRUE(open_mutant(record));
    for (int i = 0; i < 400; ++i) {
      auto mutant = record;
      mutate(mutant, random);
      decoded += open_mutant(mutant);
    }
    for (size_t size = 0; size < record.size(); size += 1 + size / 16) {
      EXPECT_FALSE(open_mutant(std::span(record).first(size)));
    }
  }
  EXPECT_GT(decoded, 100);
}

}  // namespace
}  // namespace shadowserve
