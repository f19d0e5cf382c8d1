// An engine's ways to its KV cache beside each other, over many seeds.
#pragma once

#include <vector>

#include "sim/nic/serving_model.h"

namespace shadowserve::nic {

/// What seeds gave: the middle, and the least and the most of any.
struct SeedSpread {
  double median = 0, least = 0, most = 0;
  /// Of 1 over each.
  SeedSpread inverse() const { return {1 / median, 1 / most, 1 / least}; }
};
/// REQUIRES at least one value.
SeedSpread spread_over_seeds(std::vector<double> values);

/// What is asked of every point: queues at 80 % of what an engine can do are long and noisy, so one seed says
/// little and a few hundred requests say less.
struct ServingQuestion {
  GpuModel gpu;
  LlmModel llm;
  Workload work;  ///< requests_per_s is set here; seeds begin with its own
  uint32_t seeds = 1;
  double load = 0.8;  ///< of what the slower of both fetching ways can do at most
};

struct ServingPoint {
  double link_gbit_s = 0;
  uint32_t output_tokens = 0;
  double requests_per_s = 0;                                       ///< offered, to both
  std::vector<ServingOutcome> cachegen, shadowserve;               ///< under that load, one a seed
  ServingOutcome cachegen_full, shadowserve_full, recompute_full;  ///< with all requests there from the start

  /// CacheGen-Async's over ours: both had the same arrivals in each seed.
  SeedSpread ttft_ratio() const { return ratio(&ServingOutcome::ttft_ms); }
  SeedSpread tpot_ratio() const { return ratio(&ServingOutcome::tpot_ms); }
  double throughput_ratio() const { return shadowserve_full.requests_per_s / cachegen_full.requests_per_s; }

 private:
  SeedSpread ratio(double ServingOutcome::*value) const;
};

/// The median of a value over seeds.
double median_of(const std::vector<ServingOutcome>& seeds, double ServingOutcome::*value);

/// All but where the point lies. The same for the same arguments.
ServingPoint serve_both(const ServingQuestion& question, const KvPath& cachegen, const KvPath& shadowserve);

}  // namespace shadowserve::nic
