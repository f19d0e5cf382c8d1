// Engines by name, and which numbers make no fleet.
#include "sim/fleet/fleet_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/fleet/fleet_events.h"
#include "sim/fleet/fleet_prompt.h"

namespace shadowserve::fleet {
namespace {

// A Llama of 8B in 16 bits: bytes of its weights, and of a token's KV.
constexpr double kWeightBytes = 16.06e9, kTokenBytes = 131'072;
// What is measured of an H200 (docs/results): prompts of 8k, 16k and 32k take 210, 482 and 1,179 ms, the
// products of 32 sequences 4.47 ms (0.75 of the memory's rate), a step of 16 streams 5.4 ms. Others are
// scaled by data sheets.
constexpr double kPrefillUs = 22.2, kAttentionPs = 421, kMemoryUsed = 0.75, kOverheadMs = 0.9;
constexpr double kHopperTflops = 989, kH200MemoryTbS = 4.8;
// Of the memory, what vLLM takes by default; beside weights and KV it keeps about this much for itself.
constexpr double kMemoryShare = 0.9, kOtherBytes = 2e9;

EngineParameters scaled(double tflops, double memory_tb_s, double memory_gb, double dollars_per_hour) {
  const double slower = kHopperTflops / tflops, bytes_per_ns = memory_tb_s * 1e3 * kMemoryUsed;
  EngineParameters made;
  made.prefill_us_per_token = kPrefillUs * slower;
  made.prefill_ps_per_token2 = kAttentionPs * slower;
  made.step_ms = kWeightBytes / bytes_per_ns * 1e-6 + kOverheadMs;
  made.step_us_per_sequence = 10 * slower;
  made.step_ns_per_context_token = kTokenBytes / bytes_per_ns;
  made.step_tokens_max = 2'048;
  made.running_max = 256;
  made.kv_tokens =
      static_cast<uint32_t>((memory_gb * 1e9 * kMemoryShare - kWeightBytes - kOtherBytes) / kTokenBytes);
  made.dollars_per_hour = dollars_per_hour;
  return made;
}

}  // namespace

const std::vector<EnginePreset>& engine_presets() {
  static const std::vector<EnginePreset> presets{{"l40s", scaled(362, 0.864, 48, 1.2)},
                                                 {"h100", scaled(kHopperTflops, 3.35, 80, 2.5)},
                                                 {"h200", scaled(kHopperTflops, kH200MemoryTbS, 141, 3.5)}};
  return presets;
}

bool choose_engine(FleetOptions& options, std::string_view name) {
  const auto& presets = engine_presets();
  const auto found = std::find_if(presets.begin(), presets.end(),
                                  [&](const EnginePreset& each) { return each.name == name; });
  if (found == presets.end()) return false;
  options.engine_name = name;
  options.engine = found->parameters;
  return true;
}

FleetOptions::FleetOptions() { choose_engine(*this, engine_name); }

uint32_t FleetOptions::shard_count() const {
  if (!store.present) return 0;
  if (store.shards > 0) return store.shards;
  return std::max(1u, static_cast<uint32_t>(std::lround(engines / store.engines_per_shard)));
}

double FleetOptions::chunk_bytes() const { return kChunkTokens * model.kv_bytes_per_token / model.ratio; }
int64_t FleetOptions::end_ns() const { return static_cast<int64_t>(hours * 3600 * kNsPerSecond); }

std::string complaint(const FleetOptions& options) {
  const WorkloadOptions& load = options.workload;
  struct Bound {
    const char* name;
    double value, least, most;
  };
  const Bound bounds[] = {
      {"engines", static_cast<double>(options.engines), 1, 100'000},
      {"hours", options.hours, 1e-6, 10'000},
      {"nic-gbit", options.network.nic_gbit, 0.001, 100'000},
      {"engines-per-nic", static_cast<double>(options.network.engines_per_nic), 1, 1'000},
      {"pipeline-gb-s", options.network.pipeline_gb_s, 0.001, 100'000},
      {"save-gb-s", options.network.save_gb_s, 0.001, 100'000},
      {"oversubscription", options.network.oversubscription, 0.01, 1'000},
      {"deadline-ms", options.network.deadline_ms, 0.001, 1e9},
      {"ratio", options.model.ratio, 0.1, 1'000},
      {"kv-bytes", options.model.kv_bytes_per_token, 1, 1e9},
      {"engines-per-shard", options.store.engines_per_shard, 0.01, 100'000},
      {"shards", static_cast<double>(options.store.shards), 0, 100'000},
      {"shard-gbit", options.store.shard_gbit, 0.001, 100'000},
      {"shard-gb", options.store.shard_gb, 0.001, 1e6},
      {"shard-requests", options.store.shard_requests_per_s, 1, 1e12},
      {"run-chunks", static_cast<double>(options.store.run_chunks), 1, 1'024},
      {"rate", load.requests_per_engine_s, 1e-9, 1e6},
      {"context", static_cast<double>(load.context_tokens_max), 2 * kChunkTokens, 1 << 24},
      {"turns", load.turns_mean, 1, 1'000},
      {"documents", load.documents_per_engine, 1e-3, 1e6},
      {"trace-copies", static_cast<double>(load.trace_copies), 1, 100'000},
      {"slow-factor", options.slow_factor, 1e-3, 1},
  };
  for (const Bound& bound : bounds) {
    if (bound.value >= bound.least && bound.value <= bound.most) continue;
    return fmt::format("--{} {} is out of bounds: give {} to {}", bound.name, bound.value, bound.least,
                       bound.most);
  }
  if (load.kind == WorkloadKind::kTrace && load.trace_block_tokens % kChunkTokens != 0) {
    return fmt::format("--trace-block {}: blocks are whole chunks of {} tokens", load.trace_block_tokens,
                       kChunkTokens);
  }
  // Prompts and answers are cut to the context, so this is what one request may need.
  if (load.kind != WorkloadKind::kTrace && load.context_tokens_max > options.engine.kv_tokens) {
    return fmt::format("--context {}: an engine's pages hold only {} tokens", load.context_tokens_max,
                       options.engine.kv_tokens);
  }
  if (load.kind == WorkloadKind::kChat && load.system_tokens + 4 * kChunkTokens > load.context_tokens_max) {
    return fmt::format("--system-tokens {} leave no room for a conversation in --context {}",
                       load.system_tokens, load.context_tokens_max);
  }
  return {};
}

}  // namespace shadowserve::fleet
