// The study of SmartNICs for programs.
#include "sim_nic_report.h"

namespace shadowserve {
namespace {

nlohmann::ordered_json plane_json(const nic::PlanePoint& point) {
  return {{"machine", point.machine},
          {"profile", point.profile},
          {"ratio", point.ratio},
          {"link_gbit_s", point.link_gbit_s},
          {"gbit_s", point.gbit_s},
          {"values_gb_s", point.values_gb_s},
          {"start_ms", point.start_ms},
          {"memory_gb_s", point.memory_gb_s},
          {"memory_saturated", point.memory_saturated},
          {"slowest", point.slowest}};
}

/// Of one run.
nlohmann::ordered_json serving_json(const nic::ServingOutcome& outcome) {
  return {{"ttft_ms", outcome.ttft_ms},
          {"ttft_p99_ms", outcome.ttft_p99_ms},
          {"tpot_ms", outcome.tpot_ms},
          {"requests_per_s", outcome.requests_per_s},
          {"batch", outcome.batch}};
}

/// The medians over seeds.
nlohmann::ordered_json serving_json(const std::vector<nic::ServingOutcome>& seeds) {
  const auto median = [&](double nic::ServingOutcome::*value) { return nic::median_of(seeds, value); };
  return serving_json(nic::ServingOutcome{.ttft_ms = median(&nic::ServingOutcome::ttft_ms),
                                          .ttft_p99_ms = median(&nic::ServingOutcome::ttft_p99_ms),
                                          .tpot_ms = median(&nic::ServingOutcome::tpot_ms),
                                          .requests_per_s = median(&nic::ServingOutcome::requests_per_s),
                                          .batch = median(&nic::ServingOutcome::batch)});
}

nlohmann::ordered_json spread_json(const nic::SeedSpread& spread) {
  return {{"median", spread.median}, {"least", spread.least}, {"most", spread.most}};
}

nlohmann::ordered_json points_json(const std::vector<nic::ServingPoint>& points) {
  auto made = nlohmann::ordered_json::array();
  for (const nic::ServingPoint& point : points) {
    made.push_back({{"link_gbit_s", point.link_gbit_s},
                    {"output_tokens", point.output_tokens},
                    {"offered_requests_per_s", point.requests_per_s},
                    {"ttft_cachegen_over_shadowserve", spread_json(point.ttft_ratio())},
                    {"tpot_cachegen_over_shadowserve", spread_json(point.tpot_ratio())},
                    {"throughput_shadowserve_over_cachegen", point.throughput_ratio()},
                    {"cachegen", serving_json(point.cachegen)},
                    {"shadowserve", serving_json(point.shadowserve)},
                    {"cachegen_full", serving_json(point.cachegen_full)},
                    {"shadowserve_full", serving_json(point.shadowserve_full)},
                    {"recompute_full", serving_json(point.recompute_full)}});
  }
  return made;
}

nlohmann::ordered_json paper_json(const std::vector<nic::PaperPoint>& points) {
  auto made = nlohmann::ordered_json::array();
  for (const nic::PaperPoint& point : points) {
    auto inputs = nlohmann::ordered_json::array();
    for (const nic::PaperInputName& one : nic::kPaperInputs) {
      if ((point.rests_on & one.input) != 0) inputs.push_back(one.name);
    }
    nlohmann::ordered_json row{{"what", point.what},
                               {"paper", point.paper},
                               {"here", spread_json(point.ours)},
                               {"without_interference", nullptr},
                               {"rests_on", std::move(inputs)},
                               {"fitted", point.fitted},
                               {"above_only", point.bound},
                               {"within_15_percent", point.near()}};
    if (point.without) row["without_interference"] = *point.without;
    made.push_back(std::move(row));
  }
  return made;
}

}  // namespace

nlohmann::ordered_json study_json(const nic::Study& study, const std::string& commit) {
  const nic::StudyOptions& options = study.options;
  nlohmann::ordered_json made{
      {"simulator", "nic"},
      {"commit", commit},
      {"gpu", options.gpu.name},
      {"model", options.llm.name},
      {"prefix_tokens", options.work.prefix_tokens},
      {"fresh_tokens", options.work.fresh_tokens},
      {"requests", options.work.requests},
      {"first_seed", options.work.seed},
      {"load", options.load},
      {"seeds", options.seeds},
      {"parts", options.parts},
      {"from_the_paper",
       {{"network_rate", {{"fitted", true}, {"gbit_s", nic::kPaperAloneGbit}}},
        {"pipeline_rate", {{"fitted", true}, {"gbit_s", nic::kPaperPipelineGbit}}},
        {"interference", {{"fitted", false}, {"factor", options.interference}}},
        {"gpu_rate", {{"fitted", false}, {"gbit_s", options.gpu_gbit_s}}}}},
      {"fitted", {{"network_gbit_s", study.fit.network_gbit_s}, {"memory_gb_s", study.fit.memory_gb_s}}}};
  const auto planes = [](const std::vector<nic::PlanePoint>& points) {
    auto made_points = nlohmann::ordered_json::array();
    for (const nic::PlanePoint& point : points) made_points.push_back(plane_json(point));
    return made_points;
  };
  made["links"] = planes(study.links);
  made["serving"] = points_json(study.serving);
  made["without_interference"] = points_json(study.quiet);
  made["paper"] = paper_json(study.paper);
  made["what_ifs"] = planes(study.what_ifs);
  return made;
}

}  // namespace shadowserve
