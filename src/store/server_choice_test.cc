// Where records lie: as documented, evenly, and with few moves when servers come and go.
#include "store/server_choice.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace shadowserve {
namespace {

constexpr uint64_t kChunks = 100'000;

/// Keys are SHA-256: any bytes are as likely as any others.
StoreKey chunk(uint64_t number, uint32_t part = 0) {
  ChunkKey key{};
  uint64_t word = number * 0x9e3779b97f4a7c15u;
  word ^= word >> 29;
  word *= 0xbf58476d1ce4e5b9u;
  std::memcpy(key.data(), &word, sizeof(word));
  return StoreKey(key, part);
}

std::vector<std::string> names(size_t count) {
  std::vector<std::string> out;
  for (size_t i = 0; i < count; ++i) out.push_back(fmt::format("cache-{}:6379", i));
  return out;
}

/// How many of the chunks lie on each.
std::vector<double> shares(const ServerChoice& choice, size_t servers) {
  std::vector<double> out(servers);
  for (uint64_t i = 0; i < kChunks; ++i) out[choice.of(chunk(i))] += 1.0 / kChunks;
  return out;
}

TEST(ServerChoice, IsWhatTheFormatSays) {
  // docs/formats/placement.md; tests/structure/placement_test.py has the same from the document's words.
  const ServerChoice choice(std::vector<std::string>{"one:6379", "two:6379", "three:7000"});
  ChunkKey key{};
  std::string found;
  for (int i = 0; i < 16; ++i) {
    key[0] = std::byte(i * 17), key[7] = std::byte(255 - i), key[8] = std::byte(i);
    found += static_cast<char>('0' + choice.of(StoreKey(key, 0)));
  }
  EXPECT_EQ(found, "2210012120100010");
}

TEST(ServerChoice, KeepsTheWholeChunkTogether) {
  const ServerChoice choice(names(7));
  for (uint64_t i = 0; i < 1000; ++i) {
    for (uint32_t part = 1; part < 5; ++part) ASSERT_EQ(choice.of(chunk(i, part)), choice.of(chunk(i)));
  }
}

TEST(ServerChoice, SpreadsEvenly) {
  for (const size_t servers : {1u, 2u, 3u, 8u, 64u}) {
    const double even = 1.0 / static_cast<double>(servers);
    for (const double share : shares(ServerChoice(names(servers)), servers)) {
      EXPECT_NEAR(share, even, 5 * std::sqrt(even / kChunks)) << servers << " servers";
    }
  }
}

TEST(ServerChoice, DoesNotDependOnTheOrder) {
  const std::vector<std::string> here = names(5);
  std::vector<std::string> there = here;
  std::reverse(there.begin(), there.end());
  const ServerChoice one(here), other(there);
  for (uint64_t i = 0; i < 1000; ++i) ASSERT_EQ(here[one.of(chunk(i))], there[other.of(chunk(i))]);
}

TEST(ServerChoice, MovesOnlyWhatTheNewServerTakes) {
  const ServerChoice before(names(4)), after(names(5));
  uint64_t moved = 0;
  for (uint64_t i = 0; i < kChunks; ++i) {
    const size_t now = after.of(chunk(i));
    if (now == before.of(chunk(i))) continue;
    ASSERT_EQ(now, 4u) << "chunks move to the new server only";
    ++moved;
  }
  EXPECT_NEAR(static_cast<double>(moved) / kChunks, 0.2, 0.01);
}

TEST(ServerChoice, GoesByNames) {  // negative control: other names place otherwise
  const ServerChoice one(names(4));
  const ServerChoice other(std::vector<std::string>{"a:1", "b:1", "c:1", "d:1"});
  uint64_t same = 0;
  for (uint64_t i = 0; i < kChunks; ++i) same += one.of(chunk(i)) == other.of(chunk(i));
  EXPECT_NEAR(static_cast<double>(same) / kChunks, 0.25, 0.02);
}

}  // namespace
}  // namespace shadowserve
