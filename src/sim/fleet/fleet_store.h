// The simulated store: shards with a memory, a link each way, and a health.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/fleet/fair_link.h"
#include "sim/fleet/fleet_options.h"
#include "sim/fleet/fleet_prompt.h"
#include "sim/fleet/run_cache.h"
#include "sim/fleet/shard_map.h"

namespace shadowserve::fleet {

struct Shard {
  RunCache cache;
  FifoLink out, in;
  bool down = false;
  int64_t down_since_ns = 0;
};

/// One thread.
class FleetStore {
 public:
  explicit FleetStore(const FleetOptions& options);

  /// Before chunks [from, to) of a prompt are looked for one after the other.
  void warm_up(const Prompt& prompt, uint32_t from, uint32_t to) const;

  struct Match {
    uint32_t chunks = 0;  ///< leading ones of the prompt that are stored
    bool unanswered =
        false;  ///< a shard was asked that has just gone: the answer took until the lookup's timeout
  };
  /// Asks about a prompt's usable chunks, as the control plane does: all of them from the first one on. Being
  /// asked about counts as use.
  Match match(const Prompt& prompt, int64_t now_ns);
  /// Sends chunks [from, to) of a prompt; returns when the last of them has left its shard.
  int64_t send(const Prompt& prompt, uint32_t from, uint32_t to, int64_t now_ns);

  uint32_t shard_of(uint64_t key) const { return map_.shard_of(key); }
  Shard& shard(uint32_t index) { return shards_[index]; }
  const std::vector<Shard>& shards() const { return shards_; }
  const ShardMap& map() const { return map_; }
  uint64_t chunk_bytes() const { return chunk_bytes_; }
  int64_t service_ns(uint32_t chunks) const { return static_cast<int64_t>(chunks * chunk_service_ns_); }
  void fail(uint32_t shard, int64_t now_ns, bool loses_data);
  void repair(uint32_t shard) { shards_[shard].down = false; }

 private:
  ShardMap map_;
  std::vector<Shard> shards_;
  uint64_t chunk_bytes_;
  double chunk_service_ns_;
};

/// A data plane that went is noticed for good after this: until then whoever asks waits for the lookup's
/// timeout.
inline constexpr int64_t kNoticeNs = 1'000'000'000;

}  // namespace shadowserve::fleet
