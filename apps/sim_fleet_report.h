// A simulated fleet beside the same one without a store, or a sweep of such pairs, and the ways to show them.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sim/fleet/fleet_result.h"

namespace shadowserve {

struct FleetRun {
  fleet::FleetOptions options;
  fleet::FleetResult result;
  double wall_s = 0;  ///< of this process; in no JSON, so that equal runs make equal files

  fleet::Cost cost() const { return fleet::cost_of(options, result); }
};

/// A fleet, and what it does when it recomputes everything.
struct FleetPair {
  FleetRun stored;
  std::optional<FleetRun> recomputed;
};

struct FleetReport {
  std::string commit;
  std::vector<FleetPair> pairs;  ///< one, or one for each point of a sweep
  bool sweep = false;
};

void print_fleet(const FleetPair& pair, const std::string& commit, std::FILE* out);
void print_sweep(const FleetReport& report, std::FILE* out);
nlohmann::ordered_json fleet_json(const FleetReport& report);
/// Of one fleet: how TTFT is distributed, and where tokens came from as time went on. Of a sweep: what a hit
/// costs, hits and TTFT against the number of engines.
std::string fleet_svg(const FleetReport& report);

std::string workload_name(const fleet::WorkloadOptions& workload);
const char* routing_name(fleet::Routing routing);
/// "12,345"
std::string with_commas(uint64_t count);

}  // namespace shadowserve
