// The pipeline bench for people.
#include <fmt/format.h>

#include "bench/pipeline_report.h"

namespace shadowserve {
namespace {

void print_head(const PipelineReport& report, std::FILE* out) {
  const PipelineBenchOptions& options = report.options;
  fmt::print(out, "bench pipeline: {}; {}, {:.3f}x; store: {}\n", options.dump.text(), report.profile,
             report.ratio, report.store);
  fmt::print(out, "on {}, {}, {} cores; {} repetitions of {} s in turns: median (middle half); commit {}\n",
             report.machine.cpu, report.machine.simd, report.machine.cores, options.repetitions,
             options.seconds, report.commit);
  fmt::print(out, "{} slots, {} parts asked for at once; {}\n", options.fetch_slots, report.window,
             options.separate_stages ? "decompress, dequantize and deliver as stages of their own"
                                     : "unpacked in one pass");
  if (options.dump.made_up()) {
    fmt::print(out,
               "The values are made up: rates are real, the ratio of sizes means NOTHING for a model.\n");
  }
  bool floor = false;
  for (const BenchRow& row : report.rows) floor = floor || !row.note.empty();
  if (floor) {
    fmt::print(
        out,
        "Rows marked * are a FLOOR: the plane's threads, this client{} need more cores than the {} here.\n",
        report.own_server ? " and redis-server" : "", report.machine.cores);
  }
}

/// "receive 23, unpack 61 | unpack 95": percent of each thread's time, threads apart.
std::string busy_shares(const BenchRow& row) {
  constexpr double kWorthTelling = 0.005;
  std::string text, thread;
  for (const Measure& measure : row.measures) {
    if (!measure.name.starts_with(kBusyPrefix)) continue;
    const std::string who = measure.name.substr(std::string(kBusyPrefix).size());
    const std::string its_thread = who.substr(0, who.find(' '));
    const double share = spread_of(measure.rates).median;
    if (share < kWorthTelling) continue;
    if (!text.empty()) text += its_thread == thread ? ", " : " | ";
    thread = its_thread;
    text += fmt::format("{} {:.0f}", who.substr(who.find(' ') + 1), 100 * share);
  }
  return text;
}

void print_alone(const PipelineReport& report, std::FILE* out) {
  fmt::print(out,
             "\n1. Stages alone, GB/s of values: the very stages, with the cores divided between them\n");
  for (const BenchRow& row : report.rows) {
    if (row.table != kAloneTable) continue;
    const bool receives = row.name == stage_kind_name(StageKind::kReceive);
    fmt::print(out, "   {:12} {:28} of {:2.0f}: {}{}\n", row.name,
               receives ? "on the first core" : "on the others, if any", fact_or_0(row, kCores),
               spread_text(row.measure(kDelivered), 0), row.note.empty() ? "" : " *");
  }
}

void print_points(const PipelineReport& report, std::FILE* out) {
  fmt::print(out, "\n2. The pipeline. {}\n", kBoundsExplained);
  fmt::print(out,
             "   busy: percent of each thread's time, as the stages count it (reading a part of a record "
             "does not count).\n");
  fmt::print(out,
             "   {:>11} {:>5}  {:22} {:>8} {:>8} {:>8} {:>11} {:>10} {:>10} {:>10} {:>6} {:>6} {:>11}  {}\n",
             "link", "cores", "delivered GB/s", "Gbit/s", "per core", "of link", "of slowest", "of shared",
             "chunk p50", "p99 ms", "moved", "allocs", "RSS MiB", "busy %");
  for (const BenchRow* row : report.points()) {
    const double link = fact_or_0(*row, kLinkGbit);
    const PointBounds bounds = report.bounds(*row);
    const std::string slowest = fmt::format("{:.0f}% {}", 100 * bounds.over_slowest, bounds.slowest);
    fmt::print(out,
               "   {:>11} {:>4.0f}{} {:22} {:>8.2f} {:>8.2f} {:>8} {:>11} {:>9.0f}% {:>10.1f} {:>10.1f} "
               "{:>6.2f} {:>6.0f} {:>5.0f}-{:<5.0f}  {}\n",
               link > 0 ? fmt::format("{} Gbit/s", link) : "unlimited", fact_or_0(*row, kCores),
               row->note.empty() ? " " : "*", spread_text(row->measure(kDelivered), 0),
               median_or_0(*row, kCompressedGbit), median_or_0(*row, kPerCore),
               link > 0 ? fmt::format("{:.1f}%", 100 * median_or_0(*row, kLinkShare)) : "-", slowest,
               100 * bounds.over_shared, median_or_0(*row, kChunkP50), median_or_0(*row, kChunkP99),
               median_or_0(*row, kMovedPerByte), median_or_0(*row, kAllocations),
               median_or_0(*row, kResidentBefore), median_or_0(*row, kResidentAfter), busy_shares(*row));
  }
  fmt::print(
      out,
      "   Gbit/s: compressed bytes. chunk: first request to last answer with the window full, so it includes "
      "waiting.\n   moved: bytes read from or written to slots and staging for each byte delivered. RSS: of "
      "this process, before and\n   after measuring. allocs: by the plane's threads since their start{}.\n",
      report.heap_watched ? "" : " (NOT WATCHED in this build)");
}

void print_options(const PipelineReport& report, std::FILE* out) {
  const std::string& first = report.options.receive.front();
  if (report.options.receive.size() < 2) return;
  fmt::print(
      out,
      "\n3. Other ways to receive, GB/s of values, and over {}: the middle of the ratios of each round\n",
      first);
  for (const BenchRow& row : report.rows) {
    if (row.table != kReceiveTable) continue;
    const BenchRow& other = report.beside(row);
    fmt::print(out, "   {:34} of {:2.0f} cores: {:22} {}: {:22} ratio {:.3f}", row.name,
               fact_or_0(row, kCores), spread_text(row.measure(kDelivered), 0), first,
               spread_text(other.measure(kDelivered), 0),
               paired_ratio(row.measure(kDelivered), other.measure(kDelivered)));
    if (row.find_measure(kChunkP50) != nullptr) {
      fmt::print(out, "; chunk p50 {:.1f} to {:.1f} ms, p99 {:.1f} to {:.1f}; allocs {:.0f}",
                 median_or_0(row, kChunkP50), median_or_0(other, kChunkP50), median_or_0(row, kChunkP99),
                 median_or_0(other, kChunkP99), median_or_0(row, kAllocations));
    }
    fmt::print(out, "{}\n", row.note.empty() ? "" : " *");
  }
}

}  // namespace

void print_pipeline(const PipelineReport& report, std::FILE* out) {
  print_head(report, out);
  print_alone(report, out);
  print_points(report, out);
  print_options(report, out);
}

}  // namespace shadowserve
