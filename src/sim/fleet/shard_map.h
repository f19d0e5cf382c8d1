// Which shard of the store holds a key: slots of the key space, each given to a shard by rendezvous.
#pragma once

#include <cstdint>
#include <vector>

namespace shadowserve::fleet {

/// Rendezvous hashing (Thaler and Ravishankar, 1998) for slots instead of keys, so that finding a key's shard
/// is one read: a slot belongs to the shard with the greatest hash of (slot, shard). One shard more takes 1 /
/// N of the slots, evenly from all others, and nothing moves between those. Redis Cluster has slots as well,
/// dealt out by hand.
class ShardMap {
 public:
  /// `slots_per_shard` bounds how uneven shards are: about 1 / sqrt of it. REQUIRES shards >= 1.
  explicit ShardMap(uint32_t shards, uint32_t slots_per_shard = 256);

  /// By the key's upper bits: the lower ones are those by which a shard finds it, and must not be alike
  /// there.
  uint32_t shard_of(uint64_t key) const { return owners_[key >> shift_]; }
  uint32_t shards() const { return shards_; }
  uint32_t slots() const { return static_cast<uint32_t>(owners_.size()); }
  /// Of shard `shard`, over the mean.
  double share(uint32_t shard) const;

 private:
  uint32_t shards_, shift_ = 0;
  std::vector<uint32_t> owners_;
};

}  // namespace shadowserve::fleet
