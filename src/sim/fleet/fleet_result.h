// What a simulated fleet did, and what that cost.
#pragma once

#include <array>
#include <cstdint>

#include "sim/fleet/fleet_histogram.h"
#include "sim/fleet/fleet_options.h"

namespace shadowserve::fleet {

/// How busy many of a kind were, 0..1.
struct Usage {
  uint32_t count = 0;
  double mean = 0, max = 0;
};

/// A sixtieth of the time in which requests arrive; requests by the time of their first token.
struct Slice {
  uint64_t requests = 0, local_tokens = 0, remote_tokens = 0, computed_tokens = 0;
};

struct FleetResult {
  bool complete = true;  ///< not stopped before its end
  double seconds = 0;    ///< of virtual time, at most those in which requests arrive
  uint64_t events = 0;

  // Every request that arrived is in one of done, refused, open.
  uint64_t arrived = 0, done = 0, open = 0;
  uint64_t refused = 0;  ///< would never fit into an engine's pages

  // Of requests that have their first token: local + remote + computed = input.
  uint64_t started = 0, input_tokens = 0, local_tokens = 0, remote_tokens = 0, computed_tokens = 0;
  uint64_t output_tokens = 0;                        ///< of those that are done
  uint64_t remote_requests = 0, local_requests = 0;  ///< with any such token

  uint64_t fetches = 0;         ///< begun
  uint64_t fetches_late = 0;    ///< ended by the deadline
  uint64_t fetches_broken = 0;  ///< of those: a shard or NIC failed meanwhile
  uint64_t lookups_unanswered = 0;
  uint64_t fetched_bytes = 0, saved_bytes = 0;
  uint64_t fetched_chunks = 0, saved_chunks = 0,
           unsaved_chunks = 0;  ///< unsaved: something was down, or a gap before it
  uint64_t failures = 0;

  // By the links themselves.
  uint64_t nic_in_bytes = 0, nic_out_bytes = 0, shard_in_bytes = 0, shard_out_bytes = 0;

  DurationHistogram ttft, tpot, fetch;
  Usage engine, prefill, nic_in, nic_out, rack_in, shard_out, shard_in;
  double stored_gb = 0, store_gb = 0;
  uint64_t evicted_chunks = 0;
  std::array<Slice, 60> slices{};

  double hit_rate() const {
    return input_tokens == 0
               ? 0
               : static_cast<double>(local_tokens + remote_tokens) / static_cast<double>(input_tokens);
  }
  double remote_rate() const {
    return input_tokens == 0 ? 0 : static_cast<double>(remote_tokens) / static_cast<double>(input_tokens);
  }
  /// Of every count above and every bucket: equal for equal runs.
  uint64_t fingerprint() const;
};

/// Dollars for the time in which requests arrive.
struct Cost {
  double engines = 0, nics = 0, store = 0, links = 0;
  double total() const { return engines + nics + store + links; }
  double per_million_tokens = 0;          ///< all of it, over tokens read and written
  double prefill_per_million_tokens = 0;  ///< of it, what engines spent on prompts
  double store_per_million_tokens = 0;    ///< of it, NICs, store and links
  double per_thousand_hits = 0;           ///< NICs, store and links over chunks that came from the store
  double per_thousand_computed = 0;       ///< prefill over computed tokens, in chunks
};
Cost cost_of(const FleetOptions& options, const FleetResult& result);

}  // namespace shadowserve::fleet
