// The Deflate fuzzer's entry over its seeds and some thousand mutations of them, the same in every run.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "fuzz/byte_mutation.h"
#include "fuzz/deflate_mutant.h"

namespace shadowserve {
namespace {

struct Seed {
  std::string name;
  std::vector<std::byte> coded;
};

std::vector<Seed> seeds() {
  std::vector<Seed> seeds;
  for (const auto& file : std::filesystem::directory_iterator(SHADOWSERVE_DEFLATE_SEEDS)) {
    std::ifstream in(file.path(), std::ios::binary);
    const std::vector<char> chars{std::istreambuf_iterator<char>(in), {}};
    const auto bytes = std::as_bytes(std::span(chars));
    seeds.push_back({file.path().stem(), {bytes.begin(), bytes.end()}});
  }
  std::sort(seeds.begin(), seeds.end(), [](const Seed& a, const Seed& b) { return a.name < b.name; });
  return seeds;
}

TEST(DeflateReplay, SeedsAndMutations) {
  const auto all = seeds();
  ASSERT_GE(all.size(), 8u);
  std::mt19937 random(20240301);
  int decoded = 0;
  for (const Seed& seed : all) {
    EXPECT_EQ(decode_mutant(seed.coded), seed.name.starts_with("literals")) << seed.name;
    for (int i = 0; i < 500; ++i) {
      auto mutant = seed.coded;
      mutate(mutant, random);
      decoded += decode_mutant(mutant);
    }
    for (size_t size = 0; size < seed.coded.size(); ++size) {
      EXPECT_FALSE(decode_mutant(std::span(seed.coded).first(size))) << seed.name << " " << size;
    }
  }
  EXPECT_GT(decoded, 100);
}

}  // namespace
}  // namespace shadowserve
