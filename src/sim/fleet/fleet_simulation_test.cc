// A whole fleet: the same twice, nothing lost, queues as in theory, and a way on after every failure.
#include "sim/fleet/fleet_simulation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "sim/fleet/fleet_trace.h"

namespace shadowserve::fleet {
namespace {

FleetOptions small(WorkloadKind kind = WorkloadKind::kChat) {
  FleetOptions options;
  options.engines = 12;
  options.hours = 0.25;
  options.workload.kind = kind;
  return options;
}

void expect_conserved(const FleetOptions& options, const FleetResult& result) {
  EXPECT_GT(result.done, 100u);
  EXPECT_EQ(result.arrived, result.done + result.open + result.refused);
  EXPECT_EQ(result.open, 0u);
  EXPECT_EQ(result.started, result.done);
  EXPECT_EQ(result.ttft.count(), result.done);
  EXPECT_EQ(result.local_tokens + result.remote_tokens + result.computed_tokens, result.input_tokens);
  EXPECT_GE(result.computed_tokens, result.done);  // the last token of each prompt
  // What requests account for, and what links carried.
  EXPECT_EQ(result.nic_in_bytes, result.fetched_bytes);
  EXPECT_EQ(result.nic_out_bytes, result.saved_bytes);
  EXPECT_EQ(result.shard_in_bytes, result.saved_bytes);
  const auto chunk = static_cast<uint64_t>(options.chunk_bytes());
  EXPECT_EQ(result.saved_bytes, result.saved_chunks * chunk);
  EXPECT_EQ(result.remote_tokens, result.fetched_chunks * kChunkTokens);
  if (result.fetches_late == 0) {
    EXPECT_EQ(result.fetched_bytes, result.fetched_chunks * chunk);
    EXPECT_EQ(result.shard_out_bytes, result.fetched_bytes);
  }
}

TEST(FleetSimulation, TheSameSeedGivesTheSameResult) {
  for (const WorkloadKind kind : {WorkloadKind::kChat, WorkloadKind::kDocuments}) {
    FleetOptions options = small(kind);
    options.shard_faults = {300, 30};
    const FleetResult first = simulate_fleet(options), second = simulate_fleet(options);
    EXPECT_EQ(first.fingerprint(), second.fingerprint());
    EXPECT_EQ(first.ttft.mean_ns(), second.ttft.mean_ns());
    options.seed = 2;  // the control
    EXPECT_NE(simulate_fleet(options).fingerprint(), first.fingerprint());
  }
}

TEST(FleetSimulation, NothingIsLost) {
  for (const WorkloadKind kind : {WorkloadKind::kChat, WorkloadKind::kDocuments}) {
    for (const Routing routing : {Routing::kRoundRobin, Routing::kSticky, Routing::kLeastLoaded}) {
      for (const uint32_t engines_per_nic : {1u, 4u}) {
        FleetOptions options = small(kind);
        options.workload.routing = routing;
        options.network.engines_per_nic = engines_per_nic;
        options.network.rack_nics = engines_per_nic == 4 ? 2 : 0;
        options.store.run_chunks = engines_per_nic == 4 ? 1 : 4;
        const FleetResult result = simulate_fleet(options);
        expect_conserved(options, result);
        EXPECT_GT(result.remote_tokens, 0u);
      }
    }
  }
}

TEST(FleetSimulation, WithoutAStoreNothingComesFromIt) {
  FleetOptions options = small();
  const FleetResult stored = simulate_fleet(options);
  options.store.present = false;
  const FleetResult alone = simulate_fleet(options);
  expect_conserved(options, alone);
  EXPECT_EQ(alone.remote_tokens, 0u);
  EXPECT_EQ(alone.nic_in_bytes + alone.nic_out_bytes, 0u);
  EXPECT_LT(stored.ttft.percentile_ns(0.5), alone.ttft.percentile_ns(0.5));
  EXPECT_LT(stored.computed_tokens, alone.computed_tokens);
  // The same conversations: only those turns that wait for a slow answer move.
  EXPECT_NEAR(static_cast<double>(stored.arrived), static_cast<double>(alone.arrived), 0.01 * alone.arrived);
}

TEST(FleetSimulation, StickySessionsFindTheirTextInTheEngine) {
  FleetOptions options = small();
  options.workload.routing = Routing::kSticky;
  const FleetResult sticky = simulate_fleet(options);
  options.workload.routing = Routing::kRoundRobin;
  const FleetResult round = simulate_fleet(options);
  EXPECT_GT(sticky.local_tokens, 1.5 * static_cast<double>(round.local_tokens));
  EXPECT_NEAR(sticky.hit_rate(), round.hit_rate(), 0.05);  // the store makes up for it
}

/// One engine, prompts of one length, no cache of any use: M/D/1.
TEST(FleetSimulation, PromptsWaitAsInTheory) {
  FleetOptions options;
  options.engines = 1;
  options.hours = 6;
  options.drain_s = 1e6;
  options.store.present = false;
  options.engine.step_ms = 0.001;
  options.engine.kv_tokens = 10'000'000;
  options.engine.running_max = 100'000;
  WorkloadOptions& load = options.workload;
  load.kind = WorkloadKind::kDocuments;
  load.documents_per_engine = 1e6;
  load.zipf = 0;
  load.document_tokens = 8'000, load.document_sigma = 0;
  load.question_tokens = 100, load.question_sigma = 0;
  load.answer_tokens = 1, load.answer_sigma = 0;
  const double service_s = options.engine.prefill_ns(8'100, 0) * 1e-9;
  constexpr double kLoad = 0.6;
  load.requests_per_engine_s = kLoad / service_s;
  const FleetResult result = simulate_fleet(options);
  ASSERT_GT(result.done, 15'000u);
  EXPECT_LT(static_cast<double>(result.local_tokens) / static_cast<double>(result.input_tokens), 0.02);
  EXPECT_NEAR(result.prefill.mean, kLoad, 0.02);
  const double wait_s = result.ttft.mean_ns() * 1e-9 - service_s;
  const double md1_s = service_s * kLoad / (2 * (1 - kLoad));
  EXPECT_NEAR(wait_s / md1_s, 1, 0.07);
  EXPECT_GT(std::abs(wait_s / (2 * md1_s) - 1), 0.3);  // the control: M/M/1 waits twice as long
}

TEST(FleetSimulation, AFailedShardMeansComputing) {
  FleetOptions options = small(WorkloadKind::kDocuments);
  options.network.deadline_ms = 300;
  const FleetResult well = simulate_fleet(options);
  options.shard_faults = {60, 60};
  const FleetResult failing = simulate_fleet(options);
  expect_conserved(options, failing);
  EXPECT_GT(failing.failures, 5u);
  EXPECT_GT(failing.fetches_broken, 0u);
  EXPECT_GT(failing.lookups_unanswered, 0u);
  EXPECT_LT(failing.remote_tokens, well.remote_tokens);
  EXPECT_GT(failing.computed_tokens, well.computed_tokens);
  EXPECT_EQ(well.fetches_broken + well.failures, 0u);  // the control
  options.shard_faults = {1e-3, 1e9};                  // all of them, for good
  const FleetResult gone = simulate_fleet(options);
  expect_conserved(options, gone);
  EXPECT_EQ(gone.remote_tokens, 0u);
}

TEST(FleetSimulation, AFailedOrSlowNicMeansComputing) {
  FleetOptions options = small();
  options.network.deadline_ms = 300;
  const FleetResult well = simulate_fleet(options);
  options.nic_faults = {60, 60};
  const FleetResult failing = simulate_fleet(options);
  expect_conserved(options, failing);
  EXPECT_GT(failing.fetches_broken, 0u);
  EXPECT_LT(failing.remote_tokens, well.remote_tokens);
  options.nic_faults = {};
  options.slow_faults = {60, 60};
  options.slow_factor = 0.02;
  const FleetResult slow = simulate_fleet(options);
  expect_conserved(options, slow);
  EXPECT_GT(slow.fetches_late, well.fetches_late + 10);
  EXPECT_EQ(slow.fetches_broken, 0u);
}

TEST(FleetSimulation, ADeadlineEndsEveryFetch) {
  FleetOptions options = small(WorkloadKind::kDocuments);
  options.network.nic_gbit = 0.5;
  options.network.deadline_ms = 200;
  const FleetResult result = simulate_fleet(options);
  expect_conserved(options, result);
  EXPECT_GT(result.fetches_late, result.fetches / 2);
  EXPECT_LE(result.fetch.percentile_ns(1), 204'000'000);  // to a bucket
  options.network.deadline_ms = 20'000;                   // the control: there is more to wait for
  EXPECT_GT(simulate_fleet(options).fetch.percentile_ns(0.99), 204'000'000);
}

TEST(FleetSimulation, ASmallStoreForgets) {
  FleetOptions options = small();
  const FleetResult ample = simulate_fleet(options);
  options.store.shard_gb = 5;
  const FleetResult small_store = simulate_fleet(options);
  EXPECT_EQ(ample.evicted_chunks, 0u);
  EXPECT_GT(small_store.evicted_chunks, 0u);
  EXPECT_LT(small_store.remote_tokens, ample.remote_tokens);
  EXPECT_LE(small_store.stored_gb, small_store.store_gb);
}

TEST(FleetSimulation, FetchesOnlyWhereItIsFasterIfAskedTo) {
  FleetOptions options = small();
  options.network.nic_gbit = 0.5;
  options.store.fetch_if_faster = true;
  const FleetResult choosing = simulate_fleet(options);
  options.store.fetch_if_faster = false;
  const FleetResult always = simulate_fleet(options);
  expect_conserved(options, choosing);
  EXPECT_LT(choosing.fetches, always.fetches);
}

TEST(FleetSimulation, ARequestThatNoEngineCanHoldIsRefused) {
  std::istringstream in("arrival_s,conversation,input_tokens,output_tokens\n0,1,900000,10\n1,2,1000,10\n");
  const auto trace = read_trace(in, 512);
  ASSERT_TRUE(trace);
  FleetOptions options = small(WorkloadKind::kTrace);
  const FleetResult result = simulate_fleet(options, &*trace);
  EXPECT_EQ(result.refused, 1u);
  EXPECT_EQ(result.done, 1u);
  EXPECT_EQ(result.open, 0u);
}

TEST(FleetSimulation, ATracesBlocksAreItsPrefixes) {
  std::string text;
  for (int i = 0; i < 200; ++i) {
    text += R"({"timestamp": )" + std::to_string(i * 1000) +
            R"(, "input_length": 2048, "output_length": 4, "hash_ids": [1, 2, 3, )" +
            std::to_string(100 + i) + "]}\n";
  }
  std::istringstream in(text);
  const auto trace = read_trace(in, 512);
  ASSERT_TRUE(trace) << trace.error();
  FleetOptions options = small(WorkloadKind::kTrace);
  options.workload.trace_copies = 2;
  const FleetResult result = simulate_fleet(options, &*trace);
  expect_conserved(options, result);
  EXPECT_EQ(result.done, 400u);
  // All requests but the first of each copy (and those that come before it is saved) find three of four
  // blocks.
  EXPECT_NEAR(result.hit_rate(), 0.75, 0.02);
  EXPECT_GT(result.remote_tokens, 0u);
}

TEST(FleetSimulation, CanBeStopped) {
  FleetOptions options = small();
  options.engines = 100;
  const FleetResult whole = simulate_fleet(options);
  const FleetResult part = simulate_fleet(options, nullptr, [](double, uint64_t) { return false; });
  EXPECT_TRUE(whole.complete);
  EXPECT_FALSE(part.complete);
  EXPECT_GT(part.done, 0u);
  EXPECT_LT(part.seconds, whole.seconds);
  EXPECT_EQ(part.arrived, part.done + part.open);
}

TEST(FleetCost, AddsUp) {
  FleetOptions options = small();
  options.engines = 8;
  options.prices = {0.5, 0.01, 0};
  FleetResult result;
  result.seconds = 7'200;
  result.input_tokens = 900'000, result.output_tokens = 100'000;
  result.fetched_chunks = 2'000;
  const Cost cost = cost_of(options, result);
  EXPECT_NEAR(cost.engines, 8 * 2 * options.engine.dollars_per_hour, 1e-9);
  EXPECT_NEAR(cost.nics, 8, 1e-9);
  EXPECT_NEAR(cost.store, 256 * 2 * 0.01, 1e-9);
  EXPECT_NEAR(cost.per_million_tokens, cost.total(), 1e-9);
  EXPECT_NEAR(cost.per_thousand_hits, (cost.nics + cost.store) / 2, 1e-9);
}

TEST(FleetOptions, ComplaintsNameTheOption) {
  FleetOptions options;
  EXPECT_EQ(complaint(options), "");
  options.network.nic_gbit = 0;
  EXPECT_NE(complaint(options).find("--nic-gbit 0"), std::string::npos);
  options = FleetOptions();
  options.workload.context_tokens_max = 1 << 20;
  EXPECT_NE(complaint(options).find("--context"), std::string::npos);
}

}  // namespace
}  // namespace shadowserve::fleet
