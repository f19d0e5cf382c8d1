// The study of SmartNICs for people and for programs.
#include "sim_nic_report.h"

#include <fmt/format.h>

namespace shadowserve {
namespace {

void print_fit(const nic::Study& study, std::FILE* out) {
  const nic::StudyOptions& options = study.options;
  fmt::print(
      out,
      "sim nic: the product's pipeline in virtual time on a model of a BlueField-3; {} on a model of an {}\n"
      "prompts of {:.0f} stored and {:.0f} new tokens; records of {}, {:.2f}x\n\n",
      options.llm.name, options.gpu.name, options.work.prefix_tokens, options.work.fresh_tokens,
      study.pipeline.profile, study.pipeline.ratio);
  fmt::print(out,
             "1. From the paper: the network alone brings {:.1f} Gbit/s, for all lanes together. Fitted to "
             "its whole "
             "pipeline:\n   all stages share {:.1f} GB/s of memory. Everything below is prediction.\n",
             study.fit.network_gbit_s, study.fit.memory_gb_s);
}

void print_links(const nic::Study& study, std::FILE* out) {
  fmt::print(
      out, "\n2. The plane behind a link, Gbit/s of compressed bytes\n   {:>6} {:>8} {:>8} {:>9} {:>11} {}\n",
      "link", "fetched", "start ms", "mem GB/s", "mem is full", " slowest");
  for (const nic::PlanePoint& point : study.links) {
    fmt::print(out, "   {:>6.0f} {:>8.1f} {:>8.2f} {:>9.1f} {:>10.0f}%  {}\n", point.link_gbit_s,
               point.gbit_s, point.start_ms, point.memory_gb_s, 100 * point.memory_saturated, point.slowest);
  }
}

void print_serving(const nic::Study& study, std::FILE* out) {
  fmt::print(out,
             "\n3. Engines. TTFT and TPOT in ms under Poisson arrivals at {:.0f} % of what the slower of "
             "both can do; "
             "requests/s with all\n   of them waiting. CG: CacheGen-Async, SS: ShadowServe, RE: recomputing\n"
             "   {:>6} {:>6} {:>6} | {:>7} {:>7} {:>6} | {:>6} {:>6} {:>6} | {:>6} {:>6} {:>6} {:>6}\n",
             100 * study.options.load, "link", "output", "req/s", "TTFT CG", "SS", "CG/SS", "TPOT C", "SS",
             "CG/SS", "req/sC", "SS", "RE", "SS/CG");
  for (const nic::ServingPoint& point : study.serving) {
    fmt::print(out,
               "   {:>6.0f} {:>6} {:>6.2f} | {:>7.0f} {:>7.0f} {:>6.2f} | {:>6.1f} {:>6.1f} {:>6.2f} | "
               "{:>6.2f} {:>6.2f} "
               "{:>6.2f} {:>6.2f}\n",
               point.link_gbit_s, point.output_tokens, point.requests_per_s, point.cachegen.ttft_ms,
               point.shadowserve.ttft_ms, point.ttft_ratio(), point.cachegen.tpot_ms,
               point.shadowserve.tpot_ms, point.tpot_ratio(), point.cachegen_full.requests_per_s,
               point.shadowserve_full.requests_per_s, point.recompute_full.requests_per_s,
               point.throughput_ratio());
  }
}

void print_paper(const nic::Study& study, std::FILE* out) {
  fmt::print(out, "\n4. Beside the paper (arXiv 2509.16857)\n   {:70} {:>7} {:>7}\n", "", "paper", "here");
  for (const nic::PaperPoint& point : study.paper) {
    std::string verdict = fmt::format("NOT within 15 %: {:+.0f} %", 100 * (point.ours / point.paper - 1));
    if (point.near()) verdict = "within 15 %";
    if (point.bound) verdict = point.near() ? "the paper: above" : "NOT above";
    fmt::print(out, "   {:70} {:>7.2f} {:>7.2f}  {}\n", point.what, point.paper, point.ours,
               point.fitted ? "fitted" : verdict);
  }
}

void print_what_ifs(const nic::Study& study, std::FILE* out) {
  fmt::print(out,
             "\n5. What else would change, were the network as fast as the link: Gbit/s of compressed bytes, "
             "and GB/s of "
             "values in the engine's memory\n");
  std::string last;
  for (const nic::PlanePoint& point : study.what_ifs) {
    const std::string name = fmt::format("{}; {} {:.2f}x", point.machine, point.profile, point.ratio);
    if (name != last) fmt::print(out, "{}   {:62}", last.empty() ? "" : "\n", name);
    last = name;
    fmt::print(out, " | {:>3.0f}: {:>5.1f} {:>5.1f} {:9.9}", point.link_gbit_s, point.gbit_s,
               point.values_gb_s, point.slowest);
  }
  fmt::print(out, "\n");
}

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

nlohmann::ordered_json serving_json(const nic::ServingOutcome& outcome) {
  return {{"ttft_ms", outcome.ttft_ms},
          {"ttft_p99_ms", outcome.ttft_p99_ms},
          {"tpot_ms", outcome.tpot_ms},
          {"requests_per_s", outcome.requests_per_s},
          {"batch", outcome.batch}};
}

}  // namespace

void print_study(const nic::Study& study, std::FILE* out) {
  print_fit(study, out);
  print_links(study, out);
  print_serving(study, out);
  print_paper(study, out);
  print_what_ifs(study, out);
}

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
      {"seed", options.work.seed},
      {"load", options.load},
      {"interference", options.interference},
      {"gpu_gbit_s", options.gpu_gbit_s},
      {"fitted", {{"network_gbit_s", study.fit.network_gbit_s}, {"memory_gb_s", study.fit.memory_gb_s}}}};
  const auto planes = [](const std::vector<nic::PlanePoint>& points) {
    auto made_points = nlohmann::ordered_json::array();
    for (const nic::PlanePoint& point : points) made_points.push_back(plane_json(point));
    return made_points;
  };
  made["links"] = planes(study.links);
  made["serving"] = nlohmann::ordered_json::array();
  for (const nic::ServingPoint& point : study.serving) {
    made["serving"].push_back({{"link_gbit_s", point.link_gbit_s},
                               {"output_tokens", point.output_tokens},
                               {"offered_requests_per_s", point.requests_per_s},
                               {"cachegen", serving_json(point.cachegen)},
                               {"shadowserve", serving_json(point.shadowserve)},
                               {"cachegen_full", serving_json(point.cachegen_full)},
                               {"shadowserve_full", serving_json(point.shadowserve_full)},
                               {"recompute_full", serving_json(point.recompute_full)}});
  }
  made["paper"] = nlohmann::ordered_json::array();
  for (const nic::PaperPoint& point : study.paper) {
    made["paper"].push_back({{"what", point.what},
                             {"paper", point.paper},
                             {"here", point.ours},
                             {"fitted", point.fitted},
                             {"above_only", point.bound},
                             {"within_15_percent", point.near()}});
  }
  made["what_ifs"] = planes(study.what_ifs);
  return made;
}

}  // namespace shadowserve
