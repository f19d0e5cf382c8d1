// Everything that a simulated fleet is made of, with the defaults that docs/simulators/fleet.md gives reasons
// for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/fleet/step_clock.h"

namespace shadowserve::fleet {

/// How often a thing fails and for how long, both exponentially distributed; it never does with a mean of 0.
struct FaultRate {
  double between_s = 0;
  double repair_s = 60;
};

struct NetworkOptions {
  double nic_gbit = 25;
  uint32_t engines_per_nic = 1;
  double pipeline_gb_s = 13;       ///< values that a NIC's data plane unpacks
  double save_gb_s = 4;            ///< values that it packs
  uint32_t rack_nics = 0;          ///< NICs behind one uplink; 0 = every NIC reaches the store unhindered
  double oversubscription = 4;     ///< what a rack's NICs could take over what its uplink brings
  double lookup_ms = 1;            ///< until the store's answer about a prompt is there
  double lookup_timeout_ms = 100;  ///< without an answer
  double delivery_ms = 5;          ///< of a fetch beside its bytes: messages, last copy, scatter
  double deadline_ms = 5000;       ///< of a fetch; what has not come by then is computed
};

struct StoreOptions {
  bool present = true;
  double engines_per_shard = 8;  ///< when `shards` is 0
  uint32_t shards = 0;
  double shard_gbit = 20;
  double shard_gb = 256;
  double shard_requests_per_s = 50'000;
  uint32_t run_chunks = 4;  ///< chunks that are placed and evicted together
  bool save = true;
  bool shard_loses_data = true;  ///< when it fails
  bool fetch_if_faster = false;  ///< instead of whenever stored
};

struct ModelOptions {
  double kv_bytes_per_token = 131'072;
  double ratio = 4.5;                ///< values over records
  uint32_t requests_per_chunk = 22;  ///< parts
};

enum class WorkloadKind : uint8_t { kChat, kDocuments, kTrace };
enum class Routing : uint8_t { kRoundRobin, kSticky, kLeastLoaded };

struct WorkloadOptions {
  WorkloadKind kind = WorkloadKind::kChat;
  Routing routing = Routing::kLeastLoaded;
  double requests_per_engine_s = 0.5;
  uint32_t context_tokens_max = 32'768;
  // Chat.
  double turns_mean = 5;
  double think_s = 60;
  uint32_t system_prompts = 16;
  uint32_t system_tokens = 1'024;
  double first_tokens = 2'000, first_sigma = 1.2;  ///< median and sigma of a lognormal, as below
  double user_tokens = 150, user_sigma = 1;
  double answer_tokens = 250, answer_sigma = 0.8;
  // Documents.
  double documents_per_engine = 20;
  double zipf = 0.9;
  double document_tokens = 8'000, document_sigma = 0.6;
  double question_tokens = 100, question_sigma = 0.5;
  // Trace.
  std::string trace;
  uint32_t trace_block_tokens = 512;
  uint32_t trace_copies = 1;
};

struct Prices {
  double nic_hour = 0.10;
  double store_gb_hour = 0.003;
  double link_gb = 0;
};

struct FleetOptions {
  uint64_t seed = 1;
  uint32_t engines = 100;
  double hours = 1;
  double drain_s = 600;  ///< after the last arrival
  std::string engine_name = "l40s";
  EngineParameters engine;
  NetworkOptions network;
  StoreOptions store;
  ModelOptions model;
  WorkloadOptions workload;
  Prices prices;
  FaultRate shard_faults, nic_faults, slow_faults;
  double slow_factor = 0.1;  ///< of the rate that a slowed NIC keeps

  FleetOptions();
  uint32_t shard_count() const;
  uint32_t nic_count() const { return (engines + network.engines_per_nic - 1) / network.engines_per_nic; }
  uint32_t rack_count() const {
    return network.rack_nics == 0 ? 0 : (nic_count() + network.rack_nics - 1) / network.rack_nics;
  }
  /// Of a chunk's records.
  double chunk_bytes() const;
  int64_t end_ns() const;
};

struct EnginePreset {
  std::string_view name;
  EngineParameters parameters;
};
/// l40s, h100, h200, each with an 8B model in 16 bits.
const std::vector<EnginePreset>& engine_presets();
/// False when there is none of that name.
bool choose_engine(FleetOptions& options, std::string_view name);
/// A sentence about the first thing that cannot be; empty when all can.
std::string complaint(const FleetOptions& options);

}  // namespace shadowserve::fleet
