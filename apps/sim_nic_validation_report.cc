// A finished validation for people and for programs.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim_nic_trials.h"
#include "sim_nic_validation.h"

namespace shadowserve {
namespace {

constexpr double kNear = 0.1;

bool near(const ValidationPoint& point, double ValidationRound::*predicted) {
  return !point.rounds.empty() && std::abs(point.over_real(predicted).median - 1) <= kNear;
}

/// "1.00 (0.99-1.04)", with a mark where the median is too far off.
std::string over_real_text(const ValidationPoint& point, double ValidationRound::*predicted) {
  const Spread ratios = point.over_real(predicted);
  return fmt::format("{:.2f} ({:.2f}-{:.2f}){}", ratios.median, ratios.p25, ratios.p75,
                     near(point, predicted) ? " " : "!");
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
  constexpr auto kSimulated = &ValidationRound::predicted_gb_s, kByHand = &ValidationRound::by_hand_gb_s;
  fmt::print(out, "{:28} {:>10} {:>9} {:>18} {:>7} {:>18} {:>6}  {}\n", "setting", "real, GB/s", "simulated",
             "over real ", "by hand", "over real ", "rounds",
             "measured alone: GB/s of values, times a part, Gbit/s of the server");
  int within = 0, within_by_hand = 0, disturbed = 0;
  double memory_full = 0;
  for (const ValidationPoint& point : report.points) {
    within += near(point, kSimulated);
    within_by_hand += near(point, kByHand);
    disturbed += point.disturbed;
    memory_full = std::max(memory_full, point.median(&ValidationRound::memory_full));
    if (point.rounds.empty()) {
      fmt::print(out, "{:28} every round was disturbed\n", point.setting.name());
      continue;
    }
    fmt::print(out, "{:28} {:>10.3f} {:>9.3f} {:>18} {:>7.3f} {:>18} {:>6}  {}\n",
               point.setting.name() + (point.shares_cores ? " *" : ""),
               point.median(&ValidationRound::real_gb_s), point.median(kSimulated),
               over_real_text(point, kSimulated), point.median(kByHand), over_real_text(point, kByHand),
               fmt::format("{}-{}", report.options.repetitions, point.disturbed), measured_alone(point));
  }
  fmt::print(
      out,
      "Within 10 %: simulated {} of {}, by hand {}. By hand: cores x part / (part / lane alone + answer), at "
      "most the link.\n"
      "Settings on one core check what is counted, those on several how it is divided; simulated memory was "
      "full {:.0f} % of the\ntime at most. *: plane, client and server share cores. rounds: those in which "
      "something else had a core of the plane\nfor more than 3 % of the time do not count.\n",
      within, report.points.size(), within_by_hand, 100 * memory_full);
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
    auto rounds = nlohmann::ordered_json::array();
    for (const ValidationRound& round : point.rounds) {
      rounds.push_back({{"measured_gb_s", round.real_gb_s},
                        {"simulated_gb_s", round.predicted_gb_s},
                        {"by_hand_gb_s", round.by_hand_gb_s},
                        {"simulated_memory_full", round.memory_full},
                        {"waited_for_core", round.waited}});
    }
    const auto over = [&point](double ValidationRound::*predicted) {
      const Spread ratios = point.over_real(predicted);
      return nlohmann::ordered_json{{"median", ratios.median}, {"p25", ratios.p25}, {"p75", ratios.p75}};
    };
    made["points"].push_back({{"setting", point.setting.name()},
                              {"measured_gb_s", point.median(&ValidationRound::real_gb_s)},
                              {"simulated_gb_s", point.median(&ValidationRound::predicted_gb_s)},
                              {"simulated_over_measured", over(&ValidationRound::predicted_gb_s)},
                              {"within_10_percent", near(point, &ValidationRound::predicted_gb_s)},
                              {"by_hand_gb_s", point.median(&ValidationRound::by_hand_gb_s)},
                              {"by_hand_over_measured", over(&ValidationRound::by_hand_gb_s)},
                              {"by_hand_within_10_percent", near(point, &ValidationRound::by_hand_gb_s)},
                              {"shares_cores", point.shares_cores},
                              {"disturbed_rounds", point.disturbed},
                              {"rounds", std::move(rounds)},
                              {"alone", rows_json(point.alone)}});
  }
  return made;
}

}  // namespace shadowserve
