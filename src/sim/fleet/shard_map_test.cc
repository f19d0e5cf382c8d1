// A shard more moves only what it takes.
#include "sim/fleet/shard_map.h"

#include <gtest/gtest.h>

#include <functional>

#include "sim/fleet/fleet_random.h"

namespace shadowserve::fleet {
namespace {

constexpr int kKeys = 200'000;

struct Moved {
  double all = 0, elsewhere = 0;  ///< parts of keys; elsewhere: not to the new shard
};

Moved moved_by_one_more(uint32_t shards, const std::function<uint32_t(uint64_t, bool more)>& shard_of) {
  Moved moved;
  for (uint64_t i = 0; i < kKeys; ++i) {
    const uint64_t key = mixed(i + 1);
    const uint32_t before = shard_of(key, false), after = shard_of(key, true);
    if (before == after) continue;
    moved.all += 1.0 / kKeys;
    if (after != shards) moved.elsewhere += 1.0 / kKeys;
  }
  return moved;
}

TEST(ShardMap, OneShardMoreTakesItsShareAndNothingElseMoves) {
  constexpr uint32_t kShards = 20;
  const ShardMap before(kShards, 4096), after(kShards + 1, 4096);
  ASSERT_EQ(before.slots(), after.slots());
  const Moved moved = moved_by_one_more(
      kShards, [&](uint64_t key, bool more) { return (more ? after : before).shard_of(key); });
  EXPECT_NEAR(moved.all, 1.0 / (kShards + 1), 0.003);
  EXPECT_EQ(moved.elsewhere, 0);
  // The control: a remainder moves nearly everything.
  const Moved remainder = moved_by_one_more(
      kShards, [](uint64_t key, bool more) { return static_cast<uint32_t>(key % (kShards + more)); });
  EXPECT_GT(remainder.all, 0.9);
  EXPECT_GT(remainder.elsewhere, 0.8);
}

TEST(ShardMap, SharesAreEven) {
  const ShardMap map(100);
  for (uint32_t shard = 0; shard < map.shards(); ++shard) EXPECT_NEAR(map.share(shard), 1, 0.3);
  EXPECT_EQ(ShardMap(1).share(0), 1);
}

}  // namespace
}  // namespace shadowserve::fleet
