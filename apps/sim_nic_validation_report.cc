// A finished validation for people and for programs.
#include <fmt/format.h>

#include <cmath>

#include "sim_nic_trials.h"
#include "sim_nic_validation.h"

namespace shadowserve {
namespace {

constexpr double kNear = 0.1;

bool near(const ValidationPoint& point) {
  return !point.rounds.empty() && std::abs(point.over() - 1) <= kNear;
}

Spread ratios_of(const ValidationPoint& point) {
  std::vector<double> ratios;
  for (const ValidationRound& round : point.rounds) ratios.push_back(round.predicted_gb_s / round.real_gb_s);
  return spread_of(std::move(ratios));
}

std::string measured_alone(const ValidationPoint& point) {
  std::string text;
  for (const BenchRow& row : point.alone) {
    if (row.table == kLaneTable && row.name != "neighbour as a client") continue;
    for (const Measure& measure : row.measures) {
      if (measure.name == kDelivered || measure.name == kWaited) continue;
      const bool ns = measure.name.ends_with("_ns");
      const double median = spread_of(measure.rates).median;
      text +=
          ns ? fmt::format("{} {:.1f} us  ", measure.name.substr(0, measure.name.size() - 3), median * 1e-3)
             : fmt::format("{} {:.1f}  ", measure.name, median);
    }
  }
  return text;
}

}  // namespace

void print_validation(const ValidationReport& report, std::FILE* out) {
  fmt::print(out,
             "The simulator beside the real pipeline, on {}, {}, {} cores ({} threads); {} rounds of {} s in "
             "turns; load {:.1f} before, {:.1f} after\n",
             report.machine.cpu, report.machine.simd, report.machine.cores, report.threads,
             report.options.repetitions, report.options.seconds, report.load_before, report.load_after);
  fmt::print(
      out,
      "A lane beside a client is {:.2f} times as fast as beside an idle core, beside one that spins {:.2f} "
      "times\n\n",
      report.client_over_idle, report.spinning_over_idle);
  fmt::print(out, "{:28} {:>11} {:>10} {:>19} {:>7}  {}\n", "setting", "real, GB/s", "simulated", "over real",
             "rounds", "measured alone: GB/s of values, times a part, Gbit/s of the server");
  int within = 0, disturbed = 0;
  for (const ValidationPoint& point : report.points) {
    within += near(point);
    disturbed += point.disturbed;
    if (point.rounds.empty()) {
      fmt::print(out, "{:28} every round was disturbed\n", point.setting.name());
      continue;
    }
    const Spread ratios = ratios_of(point);
    fmt::print(out, "{:28} {:>11.3f} {:>10.3f} {:>5.2f} ({:.2f}-{:.2f}){} {:>7}  {}\n",
               point.setting.name() + (point.shares_cores ? " *" : ""), point.real_gb_s(),
               point.predicted_gb_s(), ratios.median, ratios.p25, ratios.p75, near(point) ? " " : "!",
               fmt::format("{}-{}", report.options.repetitions, point.disturbed), measured_alone(point));
  }
  fmt::print(
      out,
      "{} of {} within 10 %. *: plane, client and server share cores. rounds: those in which something else "
      "had a\ncore of the plane for more than 3 % of the time do not count.\n",
      within, report.points.size());
  if (disturbed > 0) {
    fmt::print(
        out,
        "{} rounds were disturbed. If that is too many: stop what else runs, or go before it: nice -n -10, "
        "and "
        "where\nsessions have autogroups, echo -19 > /proc/self/autogroup first, as nice only counts within "
        "one.\n",
        disturbed);
  }
  std::string left_out;
  for (const std::string& name : report.left_out) left_out += " " + name;
  if (!left_out.empty()) fmt::print(out, "left out, as they want more cores:{}\n", left_out);
}

nlohmann::ordered_json validation_json(const ValidationReport& report, const std::string& commit) {
  nlohmann::ordered_json made =
      json_head("sim nic validation", commit, report.machine, PipelineBenchOptions().dump);
  made["threads"] = report.threads;
  made["repetitions"] = report.options.repetitions;
  made["seconds"] = report.options.seconds;
  made["load"] = {report.load_before, report.load_after};
  made["lane_beside_client_over_idle"] = report.client_over_idle;
  made["lane_beside_spinning_over_idle"] = report.spinning_over_idle;
  made["left_out"] = report.left_out;
  made["points"] = nlohmann::ordered_json::array();
  for (const ValidationPoint& point : report.points) {
    const Spread ratios = ratios_of(point);
    auto rounds = nlohmann::ordered_json::array();
    for (const ValidationRound& round : point.rounds) {
      rounds.push_back({{"measured_gb_s", round.real_gb_s},
                        {"simulated_gb_s", round.predicted_gb_s},
                        {"waited_for_core", round.waited}});
    }
    made["points"].push_back(
        {{"setting", point.setting.name()},
         {"measured_gb_s", point.real_gb_s()},
         {"simulated_gb_s", point.predicted_gb_s()},
         {"simulated_over_measured", {{"median", ratios.median}, {"p25", ratios.p25}, {"p75", ratios.p75}}},
         {"within_10_percent", near(point)},
         {"shares_cores", point.shares_cores},
         {"disturbed_rounds", point.disturbed},
         {"rounds", std::move(rounds)},
         {"alone", rows_json(point.alone)}});
  }
  return made;
}

}  // namespace shadowserve
