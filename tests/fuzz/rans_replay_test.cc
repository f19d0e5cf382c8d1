// The rANS fuzzer's entry over its seeds and some thousand mutations of them, the same in every run.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "fuzz/byte_mutation.h"
#include "fuzz/rans_mutant.h"

namespace shadowserve {
namespace {

std::vector<std::vector<std::byte>> seeds() {
  std::vector<std::filesystem::path> paths;
  for (const auto& file : std::filesystem::directory_iterator(SHADOWSERVE_RANS_SEEDS)) {
    paths.push_back(file.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::vector<std::byte>> seeds;
  for (const auto& path : paths) {
    std::ifstream in(path, std::ios::binary);
    const std::vector<char> chars{std::istreambuf_iterator<char>(in), {}};
    const auto bytes = std::as_bytes(std::span(chars));
    seeds.emplace_back(bytes.begin(), bytes.end());
  }
  return seeds;
}

TEST(RansReplay, SeedsAndMutations) {
  const auto all = seeds();
  ASSERT_GE(all.size(), 5u);
  std::mt19937 random(20240302);
  int taken = 0, refused = 0;
  for (const auto& seed : all) {
    EXPECT_TRUE(decode_rans_mutant(seed));
    for (int i = 0; i < 400; ++i) {
      auto mutant = seed;
      mutate(mutant, random);
      (decode_rans_mutant(mutant) ? taken : refused) += 1;
    }
    for (size_t size = 0; size < seed.size(); size += 1 + size / 64) {
      EXPECT_FALSE(decode_rans_mutant(std::span(seed).first(size))) << size;
    }
  }
  EXPECT_GT(refused, taken) << "most damage is noticed";
  EXPECT_GT(taken, 0) << "what does no harm is taken: literals have no redundancy";
}

}  // namespace
}  // namespace shadowserve
