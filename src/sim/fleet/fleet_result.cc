// Adds dollars up, and folds a result into one number.
#include "sim/fleet/fleet_result.h"

#include <bit>

#include "sim/fleet/fleet_prompt.h"
#include "sim/fleet/fleet_random.h"

namespace shadowserve::fleet {

uint64_t FleetResult::fingerprint() const {
  const uint64_t counts[] = {events,
                             arrived,
                             done,
                             open,
                             refused,
                             started,
                             input_tokens,
                             local_tokens,
                             remote_tokens,
                             computed_tokens,
                             output_tokens,
                             fetches,
                             fetches_late,
                             fetches_broken,
                             lookups_unanswered,
                             fetched_bytes,
                             saved_bytes,
                             unsaved_chunks,
                             failures,
                             nic_in_bytes,
                             shard_in_bytes,
                             evicted_chunks,
                             ttft.fingerprint(),
                             tpot.fingerprint(),
                             fetch.fingerprint(),
                             std::bit_cast<uint64_t>(engine.mean),
                             std::bit_cast<uint64_t>(nic_in.mean),
                             std::bit_cast<uint64_t>(ttft.mean_ns())};
  uint64_t hash = 0;
  for (const uint64_t count : counts) hash = mixed(hash, count);
  return hash;
}

Cost cost_of(const FleetOptions& options, const FleetResult& result) {
  Cost cost;
  const double hours = result.seconds / 3600;
  cost.engines = options.engines * hours * options.engine.dollars_per_hour;
  if (options.store.present) {
    cost.nics = options.nic_count() * hours * options.prices.nic_hour;
    cost.store = options.shard_count() * options.store.shard_gb * hours * options.prices.store_gb_hour;
    cost.links =
        static_cast<double>(result.fetched_bytes + result.saved_bytes) * 1e-9 * options.prices.link_gb;
  }
  const double millions = static_cast<double>(result.input_tokens + result.output_tokens) * 1e-6;
  if (millions > 0) {
    cost.per_million_tokens = cost.total() / millions;
    cost.prefill_per_million_tokens = cost.engines * result.prefill.mean / millions;
    cost.store_per_million_tokens = (cost.nics + cost.store + cost.links) / millions;
  }
  if (result.fetched_chunks > 0) {
    cost.per_thousand_hits =
        (cost.nics + cost.store + cost.links) / (static_cast<double>(result.fetched_chunks) * 1e-3);
  }
  if (result.computed_tokens > 0) {
    cost.per_thousand_computed = cost.engines * result.prefill.mean /
                                 (static_cast<double>(result.computed_tokens) / kChunkTokens * 1e-3);
  }
  return cost;
}

}  // namespace shadowserve::fleet
