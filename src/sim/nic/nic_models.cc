// Assumptions about SmartNICs, each with where it comes from, and how the two that are fitted are found.
#include "sim/nic/nic_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace shadowserve::nic {
namespace {

/// What a core does a second, GB/s. Nobody published these for our code on these cores: they are this
/// project's own rates on a server core, scaled down. The paper's two points do not depend on them, because
/// none of them is the slowest there.
struct CoreRates {
  double receive;     // bytes of records taken out of the kernel
  double seal;        // bytes of records checked
  double dequantize;  // bytes of values made from symbols
  double one_pass;    // bytes of values made from coded records
  double turn_ns;     // of a loop
};
constexpr CoreRates kCortexA78{1.3, 6, 2.5, 0.8, 400};
constexpr CoreRates kNeoverseV2{2.7, 16, 6, 2.5, 200};

constexpr uint32_t kSlotsPerCore = 8;   // the plane's own default
constexpr uint32_t kRequestsMax = 256;  // of one engine: its ring, and staging of 256 MiB in parts of 1 MiB
constexpr double kTaskNs = 1'000;       // to hand one slot's tasks to an engine and take them back

NicMachine smart_nic(const NicFit& fit, const RecordSet& records, NicWay way, const CoreRates& rates) {
  NicMachine machine;
  machine.memory_gb_s = fit.memory_gb_s;
  machine.turn_ns = rates.turn_ns;
  machine.network_gbit_s = fit.network_gbit_s;
  machine.link_memory_bytes = 1;  // the NIC writes packets to memory
  machine.link_rtt_ns = 20'000;
  StageCost& receive = machine.stages["receive"];
  receive.ns.in = 1 / rates.receive;
  receive.memory_bytes.in = 2;  // the kernel's copy reads and writes
  const auto values = static_cast<double>(records.value_bytes);
  if (way == NicWay::kEngines) {
    machine.separate_stages = true;
    StageCost& decompress = machine.stages["decompress"];
    decompress.ns = {.slot = kTaskNs, .in = 1 / rates.seal};
    decompress.memory_bytes.in =
        1;  // the seal is checked over the record; the engine's traffic is the engine's
    StageCost& dequantize = machine.stages["dequantize"];
    const double values_per_symbol = values / static_cast<double>(records.symbol_bytes);
    dequantize.ns.in = values_per_symbol / rates.dequantize;
    dequantize.memory_bytes = {.in = 1, .out = 1};
    machine.stages["deliver"].ns.slot = kTaskNs;
    machine.inflate = {true, 16, 4, 20'000};
    machine.dma = {true, 25, 4, 5'000};
    return machine;
  }
  StageCost& unpack = machine.stages["unpack"];
  unpack.ns.in = 1 / rates.seal;
  // Symbols that are only packed need no decoder.
  const bool packed = records.profile.coder == CoderId::kNone;
  unpack.ns.rest =
      values / static_cast<double>(records.coded_bytes) / (packed ? rates.dequantize : rates.one_pass);
  // The record stays in the core's second-level cache between the seal and the decoder.
  unpack.memory_bytes = {.in = 1, .out = way == NicWay::kOnePassCached ? 0.0 : 2.0};
  return machine;
}

}  // namespace

NicMachine bluefield3(const NicFit& fit, const RecordSet& records, NicWay way) {
  NicMachine machine = smart_nic(fit, records, way, kCortexA78);
  machine.name = "BlueField-3";
  machine.cores = 16;
  machine.fetch_slots = kSlotsPerCore * machine.cores;
  return machine;
}

NicMachine bluefield4(const NicFit& fit, const RecordSet& records, NicWay way) {
  constexpr double kFasterNetwork = 2;  // ports of 800 Gbit/s beside 400
  constexpr double kMoreMemory = 6.0;   // LPDDR5X of about 500 GB/s beside DDR5 of about 80
  NicMachine machine = smart_nic({fit.network_gbit_s * kFasterNetwork, fit.memory_gb_s * kMoreMemory},
                                 records, way, kNeoverseV2);
  machine.name = "BlueField-4-like";
  machine.cores = 64;
  machine.fetch_slots = kRequestsMax / 2;  // more would not be asked for at once
  machine.inflate.gb_s *= 2;
  machine.dma.gb_s *= 2;
  return machine;
}

NicMachine only_receiving(const NicMachine& machine) {
  NicMachine made = machine;
  made.memory_gb_s = 0;
  made.turn_ns = 0;
  std::erase_if(made.stages, [](const auto& entry) { return entry.first != "receive"; });
  constexpr double kAtOnce = 1e6;  // GB/s
  for (EngineModel* engine : {&made.inflate, &made.dma}) *engine = {engine->present, kAtOnce, 1, 0};
  return made;
}

FetchPlan steady_plan(const NicMachine& machine, double link_gbit_s, uint64_t parts) {
  const uint32_t window = std::min(2 * machine.fetch_slots, kRequestsMax);
  const uint64_t warm = window + parts / 4;
  return {.link_gbit_s = link_gbit_s, .window = window, .warm_parts = warm, .parts = warm + parts};
}

Result<NicFit> fit_to_paper(const RecordSet& records, uint64_t parts, std::string& message) {
  constexpr int kLooks = 12;
  constexpr double kNear = 0.002, kReached = 0.02;
  constexpr double kFastLinkGbit = 200;
  constexpr double kFirstMemory = 50;
  const auto rate_of = [&](const NicMachine& machine) -> double {
    const auto outcome =
        simulate_fetches(machine, records, steady_plan(machine, kFastLinkGbit, parts), message);
    return outcome ? outcome->wire_gbit_s : std::nan("");
  };
  NicFit fit{kPaperAloneGbit, kFirstMemory};
  double best = 0, off = 1e9;
  for (int look = 0; look < kLooks && off > kNear; ++look) {
    const double rate = rate_of(bluefield3(fit, records, NicWay::kEngines));
    if (std::isnan(rate)) return fail(Error::kConfig);
    if (std::abs(rate / kPaperPipelineGbit - 1) < off) {
      best = fit.memory_gb_s, off = std::abs(rate / kPaperPipelineGbit - 1);
    }
    fit.memory_gb_s *= kPaperPipelineGbit / rate;  // rates are in proportion to memory where that is short
  }
  fit.memory_gb_s = best;
  const double alone = rate_of(only_receiving(bluefield3(fit, records, NicWay::kEngines)));
  if (off > kReached || !(std::abs(alone / kPaperAloneGbit - 1) <= kReached)) {
    message = fmt::format("no memory makes the modelled pipeline receive {} Gbit/s, and alone {}",
                          kPaperPipelineGbit, kPaperAloneGbit);
    return fail(Error::kConfig);
  }
  return fit;
}

}  // namespace shadowserve::nic
