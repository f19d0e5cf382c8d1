// Deals slots out once, at the start.
#include "sim/fleet/shard_map.h"

#include <algorithm>
#include <bit>

#include "contract/check.h"
#include "sim/fleet/fleet_random.h"

namespace shadowserve::fleet {
namespace {

// Dealing costs slots times shards hashes: at 2,500 shards this bound keeps it under a second.
constexpr uint32_t kSlotsMin = 1u << 14, kSlotsMax = 1u << 18;

}  // namespace

ShardMap::ShardMap(uint32_t shards, uint32_t slots_per_shard) : shards_(shards) {
  SS_CHECK(shards >= 1, "a store has a shard");
  const uint64_t wanted = std::bit_ceil(uint64_t{shards} * slots_per_shard);
  owners_.resize(std::clamp<uint64_t>(wanted, kSlotsMin, kSlotsMax));
  shift_ = 64 - static_cast<uint32_t>(std::countr_zero(owners_.size()));
  std::vector<uint64_t> marks(shards);
  for (uint32_t shard = 0; shard < shards; ++shard) marks[shard] = mixed(shard + 1);
  for (uint32_t slot = 0; slot < owners_.size(); ++slot) {
    const uint64_t mark = mixed(slot, 0x510f5);
    uint64_t greatest = 0;
    for (uint32_t shard = 0; shard < shards; ++shard) {
      const uint64_t weight = mixed(mark ^ marks[shard]);
      if (weight >= greatest) {
        greatest = weight;
        owners_[slot] = shard;
      }
    }
  }
}

double ShardMap::share(uint32_t shard) const {
  const auto owned = std::count(owners_.begin(), owners_.end(), shard);
  return static_cast<double>(owned) * shards_ / static_cast<double>(owners_.size());
}

}  // namespace shadowserve::fleet
