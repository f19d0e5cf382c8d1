// Tests of the plane in virtual time: theory where there is one, conservation, determinism, real errors.
#include "sim/nic/fetch_simulation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "sim/nic/sim_records.h"
#include "sim/nic/steady_rate.h"

namespace shadowserve::nic {
namespace {

/// Made once: coding a chunk takes longer than most of these tests.
const RecordSet& kv4() {
  static const RecordSet records = sample_records("kv4");
  return records;
}
const RecordSet& deflated() {
  static const RecordSet records = sample_records("cachegen+deflate");
  return records;
}

FetchOutcome run(const NicMachine& machine, const RecordSet& records, FetchPlan plan = {}) {
  std::string message;
  auto outcome = simulate_fetches(machine, records, plan, message);
  EXPECT_TRUE(outcome) << message;
  return outcome.value_or(FetchOutcome{});
}

/// One core that takes so long for a byte of a record to receive, and of a value to unpack.
NicMachine plain_machine(double receive_ns, double unpack_ns) {
  NicMachine machine;
  machine.stages["receive"].ns.in = receive_ns;
  machine.stages["unpack"].ns.out = unpack_ns;
  return machine;
}

void expect_conserved(const FetchOutcome& outcome) {
  EXPECT_EQ(outcome.asked, outcome.answered);
  EXPECT_EQ(outcome.answered_twice, 0u);
  EXPECT_EQ(outcome.value_bytes, outcome.plane_value_bytes);
  EXPECT_EQ(outcome.wire_bytes, outcome.plane_wire_bytes);
}

TEST(FetchSimulation, WithoutAnyCostTheLinkDecides) {
  for (const double gbit : {5.0, 40.0}) {
    const FetchOutcome outcome = run({}, kv4(), {.link_gbit_s = gbit});
    EXPECT_NEAR(outcome.wire_gbit_s, gbit, 0.005 * gbit);
    expect_conserved(outcome);
  }
  NicMachine slow = plain_machine(0, 1);
  EXPECT_LT(run(slow, kv4(), {.link_gbit_s = 40}).wire_gbit_s, 10) << "negative control: 1 GB/s of values";
}

TEST(FetchSimulation, ARateOfBurstsIsTheirSlope) {
  SteadyRate rate;
  EXPECT_EQ(rate.per_ns(), 0) << "nothing yet";
  // Eight at a time, every 100 ns: from the first to the last of 20 such bursts it would be 5 % more.
  constexpr double kBursts = 20, kEach = 8;
  for (double i = 0; i < kBursts * kEach; ++i) rate.add(100 * std::floor(i / kEach), i + 1);
  EXPECT_NEAR(rate.per_ns(), kEach / 100, 0.001 * kEach / 100);
  EXPECT_GT((kBursts * kEach - 1) / (100 * (kBursts - 1)), 1.04 * kEach / 100) << "negative control";
}

TEST(FetchSimulation, OneCoreDoesItsStagesInTurns) {
  // 0.2 ns for a byte of records and 0.1 ns for a byte of values.
  const double expected = 1 / (0.2 / kv4().ratio() + 0.1);
  const FetchOutcome outcome = run(plain_machine(0.2, 0.1), kv4());
  EXPECT_NEAR(outcome.values_gb_s, expected, 0.01 * expected);
  expect_conserved(outcome);
  EXPECT_GT(std::abs(outcome.values_gb_s - 10), 0.1) << "negative control: not unpacking alone";
}

TEST(FetchSimulation, MoreCoresAreDividedByTheProductsOwnRule) {
  NicMachine machine = plain_machine(0.02, 0.1);
  machine.cores = 2;
  const FetchOutcome two = run(machine, kv4());
  // Both cores together have 2 ns a ns; receiving takes its share of the first.
  const double ideal = 2 / (0.02 / kv4().ratio() + 0.1);
  EXPECT_GT(two.values_gb_s, 0.93 * ideal);
  EXPECT_LE(two.values_gb_s, 1.01 * ideal);
  EXPECT_LT(run(machine, kv4(), {.cores = 1}).values_gb_s, 0.55 * ideal) << "negative control";
}

TEST(FetchSimulation, TheSlowestOfSeparateStagesDecidesWhileMemoryIsAmple) {
  NicMachine machine;
  machine.cores = 4;
  machine.fetch_slots = 16;
  machine.separate_stages = true;
  machine.inflate = {true, 1.0, 2, 1000};  // GB/s of symbols
  machine.dma = {true, 50, 4, 1000};
  machine.stages["dequantize"].ns.out = 0.1;
  const double values_per_symbol =
      static_cast<double>(deflated().value_bytes) / static_cast<double>(deflated().symbol_bytes);
  const FetchOutcome outcome = run(machine, deflated());
  EXPECT_NEAR(outcome.values_gb_s, 1.0 * values_per_symbol, 0.01 * values_per_symbol);
  expect_conserved(outcome);
  machine.inflate.gb_s = 100;
  EXPECT_GT(run(machine, deflated()).values_gb_s, 5 * values_per_symbol)
      << "negative control: not the engine";
}

TEST(FetchSimulation, WhatAnEngineDecompressesAheadIsDividedToo) {
  NicMachine machine;
  machine.cores = 4;
  machine.separate_stages = true;
  machine.inflate = {true, 100, 4, 1000};
  machine.dma = {true, 100, 4, 1000};
  machine.stages["dequantize"].ns.out = 1;  // 1 GB/s of values a core
  EXPECT_GT(run(machine, deflated()).values_gb_s, 3.7) << "all four cores";
  EXPECT_NEAR(run(machine, deflated(), {.cores = 1}).values_gb_s, 1, 0.02) << "negative control";
}

TEST(FetchSimulation, ACoreThatInflatesItselfIsNotForgotten) {
  // The product's own engine decompresses for many turns before it counts anything.
  NicMachine machine;
  machine.stages["unpack"].ns.out = 1;
  const FetchPlan plan{.warm_parts = 10, .parts = 40};
  EXPECT_NEAR(run(machine, deflated(), plan).values_gb_s, 1, 0.02);
  machine.separate_stages = true;
  machine.stages["dequantize"].ns.out = 2;
  EXPECT_NEAR(run(machine, deflated(), plan).values_gb_s, 0.5, 0.01);
}

TEST(FetchSimulation, NoLaneIsIdleWhileFetchesWait) {
  NicMachine machine;
  machine.cores = 12;
  machine.fetch_slots = 8 * machine.cores;  // the plane's own default
  // 1 GB/s of values each, frame by frame: the first loop answers and admits between them.
  StageCost& unpack = machine.stages["unpack"];
  unpack.ns.rest = static_cast<double>(kv4().value_bytes) / static_cast<double>(kv4().coded_bytes);
  const FetchPlan plan{.warm_parts = 200, .parts = 800};
  EXPECT_GT(run(machine, kv4(), plan).values_gb_s, 11.4);
  machine.fetch_slots = machine.cores;
  EXPECT_LT(run(machine, kv4(), plan).values_gb_s, 11.0)
      << "negative control: with a slot each, a lane has nothing while its answer waits for the first loop";
}

TEST(FetchSimulation, ALinkLittleFasterThanTheCoresKeepsThemBusy) {
  // A turn of the first loop is as long as a frame of its lane: it has to admit all that can be by then, or
  // lanes run dry together and then wait for the link together.
  NicMachine machine;
  machine.cores = 16;
  machine.fetch_slots = 8 * machine.cores;
  machine.stages["unpack"].ns.rest =
      static_cast<double>(kv4().value_bytes) / static_cast<double>(kv4().coded_bytes);
  const double cores_gbit = 8 * 16 / kv4().ratio();
  FetchPlan plan{.link_gbit_s = 1.3 * cores_gbit, .warm_parts = 250, .parts = 900};
  EXPECT_GT(run(machine, kv4(), plan).values_gb_s, 0.95 * 16);
  plan.link_gbit_s = 0.8 * cores_gbit;
  EXPECT_LT(run(machine, kv4(), plan).values_gb_s, 0.85 * 16) << "negative control: the link decides";
}

TEST(FetchSimulation, MemoryIsSharedByAllStages) {
  NicMachine machine = plain_machine(0.001, 0.01);
  machine.stages["receive"].memory_bytes.in = 1;
  machine.stages["unpack"].memory_bytes = {.in = 1, .out = 1};
  machine.cores = 4;
  machine.memory_gb_s = 20;
  const double traffic = 1 + 2 / kv4().ratio();  // for each byte of values
  const FetchOutcome outcome = run(machine, kv4());
  EXPECT_NEAR(outcome.values_gb_s, 20 / traffic, 0.03 * 20 / traffic);
  EXPECT_GT(outcome.memory_saturated, 0.9);
  machine.memory_gb_s = 0;
  EXPECT_GT(run(machine, kv4()).values_gb_s, 10 * 20 / traffic) << "negative control";
}

TEST(FetchSimulation, TheSameTwiceIsTheSame) {
  NicMachine machine = plain_machine(0.05, 0.1);
  machine.cores = 3;
  machine.memory_gb_s = 15;
  machine.stages["unpack"].memory_bytes.out = 1;
  const FetchOutcome first = run(machine, kv4(), {.link_gbit_s = 30}),
                     again = run(machine, kv4(), {.link_gbit_s = 30});
  EXPECT_EQ(first.wire_gbit_s, again.wire_gbit_s);
  EXPECT_EQ(first.part_ms_p50, again.part_ms_p50);
  EXPECT_EQ(first.events, again.events);
  EXPECT_NE(first.part_ms_p50, run(machine, kv4(), {.link_gbit_s = 29}).part_ms_p50) << "negative control";
}

TEST(FetchSimulation, DeadlinesPassInVirtualTime) {
  // 32 parts of 0.2 MB over 0.1 Gbit/s: the last of a window waits for half a second.
  const FetchOutcome late = run({}, kv4(), {.link_gbit_s = 0.1, .parts = 100, .patience_ms = 100});
  expect_conserved(late);
  const uint64_t deadlines = late.ended[static_cast<size_t>(Error::kDeadline)];
  EXPECT_GT(deadlines, 0u);
  EXPECT_EQ(late.ended[0] + deadlines, late.answered);
  const FetchOutcome patient = run({}, kv4(), {.link_gbit_s = 0.1, .parts = 100, .patience_ms = 5000});
  EXPECT_EQ(patient.ended[0], patient.answered) << "negative control: whoever waits gets it";
}

TEST(FetchSimulation, DamagedRecordsAreRefusedByTheProductsOwnChecks) {
  RecordSet damaged = kv4();
  auto& first = damaged.shelf.begin()->second;
  first[first.size() / 2] ^= std::byte{1};
  const FetchOutcome outcome = run(plain_machine(0.01, 0.1), damaged);
  expect_conserved(outcome);
  const uint64_t corrupt = outcome.ended[static_cast<size_t>(Error::kRecordCorrupt)];
  EXPECT_NEAR(static_cast<double>(corrupt), static_cast<double>(outcome.answered) / 4, 1)
      << "one part in four";
  EXPECT_EQ(run(plain_machine(0.01, 0.1), kv4()).ended[0], outcome.answered) << "negative control";
}

TEST(FetchSimulation, WhatIsDeliveredThroughModelledEnginesIsRight) {
  NicMachine machine;
  machine.cores = 2;
  machine.fetch_slots = 4;
  machine.separate_stages = true;
  machine.inflate = {true, 10, 2, 1000};
  machine.dma = {true, 10, 1, 1000};
  const RecordSet& records = deflated();
  uint64_t right = 0, wrong = 0;
  FetchPlan plan{.warm_parts = 2, .parts = 12, .real_bytes = true};
  plan.came = [&](uint64_t number, std::span<const std::byte> values) {
    const auto part = static_cast<uint32_t>(number % records.geometry.parts());
    const PartShape shape = part_shape(records.geometry, part);
    std::vector<std::byte> expected(shape.value_bytes());
    const auto& record = records.shelf.at(std::string(StoreKey(records.key, part).view()));
    ASSERT_TRUE(decode_part(record, shape, records.key, ChunkKey{}, expected));
    ++(std::memcmp(expected.data(), values.data(), values.size()) == 0 ? right : wrong);
  };
  expect_conserved(run(machine, records, plan));
  EXPECT_GE(right, 12u);
  EXPECT_EQ(wrong, 0u);
  plan.real_bytes = false;
  run(machine, records, plan);
  EXPECT_GT(wrong, 0u) << "negative control: models that move no bytes deliver none";
}

}  // namespace
}  // namespace shadowserve::nic
