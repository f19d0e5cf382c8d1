// The fuzzer's entry over the golden records and a few thousand mutations of them, the same in every run.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

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

void mutate(std::vector<std::byte>& record, std::mt19937& random) {
  const uint32_t interesting[] = {0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x7fffffff, 0xffffffff};
  for (uint32_t i = 0; i < 1 + random() % 4; ++i) {
    const size_t reach = random() % 2 ? record.size() : std::min<size_t>(record.size(), 400);
    const size_t at = random() % reach;
    switch (random() % 4) {
      case 0:
        record[at] ^= std::byte{static_cast<uint8_t>(1u << random() % 8)};
        break;
      case 1:
        record[at] = static_cast<std::byte>(random());
        break;
      case 2: {
        const uint32_t value = interesting[random() % std::size(interesting)];
        std::memcpy(record.data() + at, &value, std::min<size_t>(4, record.size() - at));
        break;
      }
      default: {
        const size_t from = random() % record.size();
        const size_t count = std::min({size_t{1 + random() % 32}, record.size() - at, record.size() - from});
        std::memmove(record.data() + at, record.data() + from, count);
      }
    }
  }
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
