// Simulated fleets for programs. Nothing in it depends on the machine, so equal runs make equal files.
#include <fmt/format.h>

#include "sim_fleet_report.h"

namespace shadowserve {
namespace {

using nlohmann::ordered_json;

ordered_json times_json(const fleet::DurationHistogram& times) {
  return {{"count", times.count()},
          {"mean_s", times.mean_ns() * 1e-9},
          {"p50_s", static_cast<double>(times.percentile_ns(0.5)) * 1e-9},
          {"p90_s", static_cast<double>(times.percentile_ns(0.9)) * 1e-9},
          {"p99_s", static_cast<double>(times.percentile_ns(0.99)) * 1e-9}};
}

ordered_json usage_json(const fleet::Usage& usage) {
  return {{"count", usage.count}, {"mean", usage.mean}, {"max", usage.max}};
}

ordered_json result_json(const FleetRun& run) {
  const fleet::FleetResult& result = run.result;
  const fleet::Cost cost = run.cost();
  ordered_json made{{"fingerprint", fmt::format("{:016x}", result.fingerprint())},
                    {"complete", result.complete},
                    {"virtual_s", result.seconds},
                    {"events", result.events},
                    {"requests",
                     {{"arrived", result.arrived},
                      {"done", result.done},
                      {"open", result.open},
                      {"refused", result.refused}}},
                    {"tokens",
                     {{"input", result.input_tokens},
                      {"local", result.local_tokens},
                      {"remote", result.remote_tokens},
                      {"computed", result.computed_tokens},
                      {"output", result.output_tokens}}},
                    {"hit_rate", result.hit_rate()},
                    {"remote_hit_rate", result.remote_rate()},
                    {"ttft", times_json(result.ttft)},
                    {"tpot", times_json(result.tpot)},
                    {"fetch", times_json(result.fetch)}};
  made["fetches"] = {{"begun", result.fetches},
                     {"late", result.fetches_late},
                     {"broken", result.fetches_broken},
                     {"lookups_unanswered", result.lookups_unanswered},
                     {"fetched_chunks", result.fetched_chunks},
                     {"saved_chunks", result.saved_chunks},
                     {"unsaved_chunks", result.unsaved_chunks},
                     {"failures", result.failures}};
  made["bytes"] = {{"fetched", result.fetched_bytes},     {"saved", result.saved_bytes},
                   {"nic_in", result.nic_in_bytes},       {"nic_out", result.nic_out_bytes},
                   {"shard_out", result.shard_out_bytes}, {"shard_in", result.shard_in_bytes}};
  made["busy"] = {{"engines", usage_json(result.engine)},   {"prefill", usage_json(result.prefill)},
                  {"nic_in", usage_json(result.nic_in)},    {"nic_out", usage_json(result.nic_out)},
                  {"rack_in", usage_json(result.rack_in)},  {"shard_out", usage_json(result.shard_out)},
                  {"shard_in", usage_json(result.shard_in)}};
  made["store"] = {
      {"stored_gb", result.stored_gb}, {"gb", result.store_gb}, {"evicted_chunks", result.evicted_chunks}};
  made["dollars"] = {{"engines", cost.engines},
                     {"nics", cost.nics},
                     {"store", cost.store},
                     {"links", cost.links},
                     {"per_million_tokens", cost.per_million_tokens},
                     {"prefill_per_million_tokens", cost.prefill_per_million_tokens},
                     {"store_per_million_tokens", cost.store_per_million_tokens},
                     {"per_thousand_hits", cost.per_thousand_hits},
                     {"per_thousand_computed", cost.per_thousand_computed}};
  ordered_json slices = ordered_json::array();
  for (const fleet::Slice& slice : result.slices) {
    slices.push_back({slice.requests, slice.local_tokens, slice.remote_tokens, slice.computed_tokens});
  }
  made["slices_requests_local_remote_computed"] = slices;
  return made;
}

ordered_json faults_json(const fleet::FaultRate& rate) {
  return {{"between_s", rate.between_s}, {"repair_s", rate.repair_s}};
}

ordered_json options_json(const fleet::FleetOptions& options) {
  const auto& [engine, network, store, load] =
      std::tie(options.engine, options.network, options.store, options.workload);
  return {{"seed", options.seed},
          {"engines", options.engines},
          {"hours", options.hours},
          {"engine",
           {{"name", options.engine_name},
            {"prefill_us_per_token", engine.prefill_us_per_token},
            {"prefill_ps_per_token2", engine.prefill_ps_per_token2},
            {"step_ms", engine.step_ms},
            {"step_us_per_sequence", engine.step_us_per_sequence},
            {"step_ns_per_context_token", engine.step_ns_per_context_token},
            {"step_tokens_max", engine.step_tokens_max},
            {"running_max", engine.running_max},
            {"kv_tokens", engine.kv_tokens},
            {"dollars_per_hour", engine.dollars_per_hour}}},
          {"network",
           {{"nic_gbit", network.nic_gbit},
            {"engines_per_nic", network.engines_per_nic},
            {"pipeline_gb_s", network.pipeline_gb_s},
            {"save_gb_s", network.save_gb_s},
            {"rack_nics", network.rack_nics},
            {"oversubscription", network.oversubscription},
            {"lookup_ms", network.lookup_ms},
            {"lookup_timeout_ms", network.lookup_timeout_ms},
            {"delivery_ms", network.delivery_ms},
            {"deadline_ms", network.deadline_ms}}},
          {"store",
           {{"shards", options.shard_count()},
            {"shard_gbit", store.shard_gbit},
            {"shard_gb", store.shard_gb},
            {"shard_requests_per_s", store.shard_requests_per_s},
            {"run_chunks", store.run_chunks},
            {"save", store.save},
            {"shard_loses_data", store.shard_loses_data},
            {"fetch_if_faster", store.fetch_if_faster}}},
          {"model",
           {{"kv_bytes_per_token", options.model.kv_bytes_per_token},
            {"ratio", options.model.ratio},
            {"requests_per_chunk", options.model.requests_per_chunk}}},
          {"workload",
           {{"kind", workload_name(load)},
            {"routing", routing_name(load.routing)},
            {"requests_per_engine_s", load.requests_per_engine_s},
            {"context_tokens_max", load.context_tokens_max},
            {"turns_mean", load.turns_mean},
            {"think_s", load.think_s},
            {"system_prompts", load.system_prompts},
            {"system_tokens", load.system_tokens},
            {"first_tokens", load.first_tokens},
            {"user_tokens", load.user_tokens},
            {"answer_tokens", load.answer_tokens},
            {"documents_per_engine", load.documents_per_engine},
            {"zipf", load.zipf},
            {"document_tokens", load.document_tokens},
            {"question_tokens", load.question_tokens},
            {"trace_block_tokens", load.trace_block_tokens},
            {"trace_copies", load.trace_copies}}},
          {"faults",
           {{"shard", faults_json(options.shard_faults)},
            {"nic", faults_json(options.nic_faults)},
            {"slow", faults_json(options.slow_faults)},
            {"slow_factor", options.slow_factor}}},
          {"prices",
           {{"nic_hour", options.prices.nic_hour},
            {"store_gb_hour", options.prices.store_gb_hour},
            {"link_gb", options.prices.link_gb}}}};
}

}  // namespace

ordered_json fleet_json(const FleetReport& report) {
  ordered_json made{{"simulation", "fleet"}, {"commit", report.commit}};
  ordered_json fleets = ordered_json::array();
  for (const FleetPair& pair : report.pairs) {
    ordered_json each{{"options", options_json(pair.stored.options)}, {"stored", result_json(pair.stored)}};
    if (pair.recomputed) each["recomputed"] = result_json(*pair.recomputed);
    fleets.push_back(std::move(each));
  }
  made["fleets"] = std::move(fleets);
  return made;
}

}  // namespace shadowserve
