// A finished run of the pipeline bench, and the three ways to show it: a table, JSON, a picture.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/bench_report.h"
#include "bench/pipeline_trials.h"

namespace shadowserve {

/// A point beside what its parts can do: see kBoundsExplained.
struct PointBounds {
  std::string slowest;  ///< "link", "receive", "unpack", ...
  double slowest_gb_s = 0;
  double over_slowest = 0;
  double shared_gb_s = 0;  ///< all stages sharing the cores without any loss
  double over_shared = 0;
};

inline constexpr const char* kBoundsExplained =
    "of slowest: delivered over the slowest stage alone, measured in this run with the cores divided between "
    "them:\n"
    "   receive on the first one, the others on the rest; the link counts as a stage of rate x ratio. In the "
    "pipeline\n"
    "   every core does all of it: with one 100 % cannot be had, with more it can be more. of shared: over "
    "what "
    "the\n"
    "   cores would do if stages took turns without loss, 1 / max(link, (receive + others) / cores) in "
    "seconds a "
    "byte\n"
    "   of a core; this is where the pipeline itself loses or not.";

struct PipelineReport {
  PipelineBenchOptions options;
  BenchMachine machine;
  std::string commit, store, profile;
  bool own_server = false;
  double ratio = 0;  ///< values over records
  uint32_t window = 0;
  bool heap_watched = false;
  std::vector<BenchRow> rows;

  std::vector<const BenchRow*> points() const;
  /// The one that stands for all: without a limit on the link, else under the highest, with the most cores.
  const BenchRow& best_point() const;
  PointBounds bounds(const BenchRow& point) const;
  /// What the first way to receive did where this row of kReceiveTable is another.
  const BenchRow& beside(const BenchRow& option) const;
  /// GB/s of values that the link brings at most; 0 = no limit.
  double link_gb_s(const BenchRow& point) const;
};

/// A fact, or 0 when the row has none of that name.
double fact_or_0(const BenchRow& row, const std::string& name);
/// The middle of a measure, or 0 when the row has none of that name.
double median_or_0(const BenchRow& row, const std::string& measure);

void print_pipeline(const PipelineReport& report, std::FILE* out);
nlohmann::ordered_json pipeline_json(const PipelineReport& report);
/// Delivered rate against the link's, a line for each number of cores.
std::string pipeline_svg(const PipelineReport& report);

}  // namespace shadowserve
