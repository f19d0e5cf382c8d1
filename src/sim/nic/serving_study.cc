// Finds out what both can do, then offers both the same load with the same arrivals.
#include "sim/nic/serving_study.h"

#include <algorithm>

namespace shadowserve::nic {

SeedSpread spread_over_seeds(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return {(values[(n - 1) / 2] + values[n / 2]) / 2, values.front(), values.back()};
}

SeedSpread ServingPoint::ratio(double ServingOutcome::*value) const {
  std::vector<double> ratios;
  for (size_t i = 0; i < cachegen.size(); ++i) ratios.push_back(cachegen[i].*value / (shadowserve[i].*value));
  return spread_over_seeds(std::move(ratios));
}

double median_of(const std::vector<ServingOutcome>& seeds, double ServingOutcome::*value) {
  std::vector<double> values;
  for (const ServingOutcome& one : seeds) values.push_back(one.*value);
  return spread_over_seeds(std::move(values)).median;
}

ServingPoint serve_both(const ServingQuestion& question, const KvPath& cachegen, const KvPath& shadowserve) {
  Workload work = question.work;
  const auto run = [&](const KvPath& path) {
    return simulate_serving(question.gpu, question.llm, path, work);
  };
  work.requests_per_s = 0;  // no arrivals, so no seeds
  ServingPoint point;
  point.output_tokens = work.output_tokens;
  point.cachegen_full = run(cachegen);
  point.shadowserve_full = run(shadowserve);
  point.recompute_full = run({.way = KvWay::kRecompute});
  point.requests_per_s =
      question.load * std::min(point.cachegen_full.requests_per_s, point.shadowserve_full.requests_per_s);
  work.requests_per_s = point.requests_per_s;
  for (uint32_t i = 0; i < question.seeds; ++i, ++work.seed) {
    point.cachegen.push_back(run(cachegen));
    point.shadowserve.push_back(run(shadowserve));
  }
  return point;
}

}  // namespace shadowserve::nic
