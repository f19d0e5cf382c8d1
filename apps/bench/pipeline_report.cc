// Bounds of every point, and all of it as JSON.
#include "bench/pipeline_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace shadowserve {

double fact_or_0(const BenchRow& row, const std::string& name) {
  for (const auto& [key, value] : row.facts) {
    if (key == name) return value;
  }
  return 0;
}

double median_or_0(const BenchRow& row, const std::string& measure) {
  const Measure* found = row.find_measure(measure);
  return found ? spread_of(found->rates).median : 0;
}

std::vector<const BenchRow*> PipelineReport::points() const {
  std::vector<const BenchRow*> found;
  for (const BenchRow& row : rows) {
    if (row.table == kPointTable) found.push_back(&row);
  }
  return found;
}

const BenchRow& PipelineReport::best_point() const {
  const auto rank = [](const BenchRow* row) {
    const double gbit = fact_or_0(*row, kLinkGbit);
    return std::pair(gbit > 0 ? gbit : std::numeric_limits<double>::infinity(), fact_or_0(*row, kCores));
  };
  const auto all = points();
  return **std::max_element(all.begin(), all.end(),
                            [&](const BenchRow* a, const BenchRow* b) { return rank(a) < rank(b); });
}

const BenchRow& PipelineReport::beside(const BenchRow& option) const {
  const std::string name = option.name.substr(0, option.name.rfind(", "));
  return *std::find_if(rows.begin(), rows.end(), [&](const BenchRow& row) {
    return row.table != kReceiveTable && row.name == name &&
           fact_or_0(row, kCores) == fact_or_0(option, kCores);
  });
}

double PipelineReport::link_gb_s(const BenchRow& point) const {
  return fact_or_0(point, kLinkGbit) / 8 * ratio;
}

PointBounds PipelineReport::bounds(const BenchRow& point) const {
  const double cores = fact_or_0(point, kCores);
  const Measure& delivered = point.measure(kDelivered);
  PointBounds found;
  double receive_s = 0, lane_s = 0;  // of one core, for 10^9 bytes of values
  for (const BenchRow& row : rows) {
    if (row.table != kAloneTable || fact_or_0(row, kCores) != cores) continue;
    const double alone = median_or_0(row, kDelivered);
    const bool receives = row.name == stage_kind_name(StageKind::kReceive);
    (receives ? receive_s : lane_s) += (receives ? 1 : std::max(1.0, cores - 1)) / alone;
    if (found.slowest.empty() || alone < found.slowest_gb_s) {
      found.slowest = row.name;
      found.slowest_gb_s = alone;
      found.over_slowest = paired_ratio(delivered, row.measure(kDelivered));
    }
  }
  const double link = link_gb_s(point), delivered_gb_s = median_or_0(point, kDelivered);
  found.shared_gb_s = cores / (receive_s + lane_s);
  if (link > 0) found.shared_gb_s = std::min(found.shared_gb_s, link);
  if (link > 0 && link < found.slowest_gb_s) {
    found.slowest = "link";
    found.slowest_gb_s = link;
    found.over_slowest = delivered_gb_s / link;
  }
  found.over_shared = delivered_gb_s / found.shared_gb_s;
  return found;
}

nlohmann::ordered_json pipeline_json(const PipelineReport& report) {
  const PipelineBenchOptions& options = report.options;
  const BenchRow& best = report.best_point();
  nlohmann::ordered_json made = json_head("pipeline", report.commit, report.machine, options.dump);
  made["profile"] = report.profile;
  made["values_over_records"] = report.ratio;
  made["store"] = report.store;
  made["separate_stages"] = options.separate_stages;
  made["fetch_slots"] = options.fetch_slots;
  made["window"] = report.window;
  made["seconds"] = options.seconds;
  made["repetitions"] = options.repetitions;
  made["heap_watched"] = report.heap_watched;
  made["bounds"] = kBoundsExplained;
  made["ratios"] = {{"point", best.name},
                    {"pipeline_over_slowest_stage", report.bounds(best).over_slowest},
                    {"pipeline_over_shared_cores", report.bounds(best).over_shared},
                    {"bytes_moved_per_byte_delivered", median_or_0(best, kMovedPerByte)},
                    {"allocations_after_start", median_or_0(best, kAllocations)},
                    {"compressed_gbit_per_core", median_or_0(best, kPerCore)},
                    {"delivered_gb_s", median_or_0(best, kDelivered)}};
  made["receive"] = options.receive;
  for (const BenchRow& row : report.rows) {
    if (row.table != kReceiveTable) continue;
    made["ratios"]["receive_options"][fmt::format("{}; {} cores", row.name, fact_or_0(row, kCores))] =
        paired_ratio(row.measure(kDelivered), report.beside(row).measure(kDelivered));
  }
  made["rows"] = rows_json(report.rows);
  for (size_t i = 0; i < report.rows.size(); ++i) {
    if (report.rows[i].table != kPointTable) continue;
    const PointBounds bounds = report.bounds(report.rows[i]);
    nlohmann::ordered_json& point = made["rows"][i];
    point["slowest_stage"] = bounds.slowest;
    point["slowest_stage_gb_s"] = bounds.slowest_gb_s;
    point["over_slowest_stage"] = bounds.over_slowest;
    point["shared_cores_gb_s"] = bounds.shared_gb_s;
    point["over_shared_cores"] = bounds.over_shared;
  }
  return made;
}

}  // namespace shadowserve
