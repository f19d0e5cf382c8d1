// The study behind `shadowserve sim nic`: a fit, the plane behind links, an engine with three ways to its KV
// cache, the paper's points beside, and what other machines and formats would change.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sim/nic/nic_models.h"
#include "sim/nic/paper_points.h"

namespace shadowserve::nic {

struct StudyOptions {
  GpuModel gpu = l40s();
  LlmModel llm = llama_8b();
  Workload work;        ///< output_tokens and requests_per_s are swept
  uint32_t seeds = 15;  ///< of arrivals at each point
  std::vector<double> links_gbit_s = {5, 10, 15, 20, 25, 30, 40};
  std::vector<uint32_t> outputs = {8, 32, 64, 128, 256};
  double load = 0.8;          ///< of what the slower of both fetching ways can do at most
  double interference = 1.3;  ///< the paper: 30 % and more
  double gpu_gbit_s = 40;     ///< compressed bytes that an idle GPU decompresses: see the page
  uint64_t parts = 800;       ///< fetched in each simulation of the plane, for every 16 of its cores
};

/// The plane of a machine behind a link.
struct PlanePoint {
  std::string machine, profile;
  double ratio = 0, link_gbit_s = 0;
  double gbit_s = 0, values_gb_s = 0;
  double start_ms = 0;  ///< what a fetch takes beyond its bytes at that rate
  double memory_gb_s = 0, memory_saturated = 0;
  std::string slowest;  ///< "link", "memory", or the busiest of the others
};

struct Study {
  StudyOptions options;
  NicFit fit;
  PlanePoint alone, pipeline;     ///< the two fitted ones
  std::vector<PlanePoint> links;  ///< the paper's machine behind each link
  std::vector<ServingPoint> serving;
  std::vector<ServingPoint> quiet;  ///< the same without interference: a negative control
  std::vector<PaperPoint> paper;
  std::vector<PlanePoint> what_ifs;
};

/// `progress` is told what comes next. On failure `message` says why. The same for the same options.
Result<Study> run_study(const StudyOptions& options, const std::function<void(const std::string&)>& progress,
                        std::string& message);

}  // namespace shadowserve::nic
