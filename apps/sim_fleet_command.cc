// `shadowserve sim fleet`: hits, times, loads and cost of a fleet that this machine is too small for.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>

#include "bench/bench_report.h"
#include "build_commit.h"
#include "command.h"
#include "sim/fleet/fleet_simulation.h"
#include "sim_fleet_flags.h"
#include "sim_fleet_report.h"

namespace shadowserve {
namespace {

constexpr const char* kFooter = R"(
Examples:
  shadowserve sim fleet                                 100 engines for an hour, with and without the store: seconds
  shadowserve sim fleet --engines 10000 --no-baseline --plot fleet.svg
  shadowserve sim fleet --sweep engines=1,10,100,1000,10000 --json sweep.json --plot sweep.svg
  shadowserve sim fleet --workload documents --engine h100 --rate 2 --nic-gbit 100 --routing sticky
  shadowserve sim fleet --trace requests.jsonl --engines 20 --trace-copies 4
  shadowserve sim fleet --shard-mtbf 1800 --shard-mttr 120 --deadline-ms 500

One thread, virtual time; the same options and seed give the same report, bit for bit, on the same machine. Unless
--no-baseline is given the same requests also go to the same fleet without a store, which computes all that its engines do
not have. docs/simulators/fleet.md has the model, what it leaves out, and where the defaults come from. Prices are
assumptions: give yours.)";

constexpr double kQuietSeconds = 2;

volatile sig_atomic_t g_stop = 0;

/// Ctrl-C ends the run, not the report; a second one ends the program.
void watch_for_interrupt() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_stop = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

/// A line on stderr about a run that takes longer than two seconds: rewritten on a terminal, else one every
/// ten seconds.
class Progress {
 public:
  explicit Progress(const fleet::FleetOptions& options) : options_(options) {}
  ~Progress() {
    if (shown_ && terminal_) fmt::print(stderr, "\r{:90}\r", "");
  }
  double wall_s() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
  }
  bool show(double virtual_s, uint64_t done) {
    const double now_s = wall_s();
    if (now_s >= next_s_) {
      shown_ = true;
      next_s_ = now_s + (terminal_ ? 0.5 : 10);
      fmt::print(stderr, "{}sim fleet: {} engines, {}: {:.1f} of {:.1f} min, {} requests done, {:.0f} s{}",
                 terminal_ ? "\r" : "", options_.engines,
                 options_.store.present ? "with the store" : "recompute only", virtual_s / 60,
                 options_.hours * 60, with_commas(done), now_s, terminal_ ? "   " : "\n");
      std::fflush(stderr);
    }
    return g_stop == 0;
  }

 private:
  const fleet::FleetOptions& options_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  double next_s_ = kQuietSeconds;
  bool shown_ = false;
};

FleetRun run_one(const fleet::FleetOptions& options, const fleet::Trace* trace) {
  FleetRun run;
  run.options = options;
  Progress progress(options);
  run.result = fleet::simulate_fleet(
      options, trace, [&](double virtual_s, uint64_t done) { return progress.show(virtual_s, done); });
  run.wall_s = progress.wall_s();
  return run;
}

FleetPair run_pair(const fleet::FleetOptions& options, const fleet::Trace* trace, bool baseline) {
  FleetPair pair{run_one(options, trace), std::nullopt};
  if (!baseline || g_stop != 0) return pair;
  fleet::FleetOptions alone = options;
  alone.store.present = false;
  pair.recomputed = run_one(alone, trace);
  return pair;
}

/// "engines=1,10,100"
std::vector<uint32_t> parse_sweep(const std::string& text) {
  constexpr std::string_view kName = "engines=";
  const auto wrong = [&] {
    return StartError(
        fmt::format("--sweep {}: write engines= and numbers of engines, as in engines=1,10,100", text));
  };
  if (!text.starts_with(kName)) throw wrong();
  std::vector<uint32_t> counts;
  const char* at = text.data() + kName.size();
  const char* const end = text.data() + text.size();
  while (true) {
    uint32_t count = 0;
    const auto [behind, code] = std::from_chars(at, end, count);
    if (code != std::errc() || count == 0) throw wrong();
    counts.push_back(count);
    if (behind == end) return counts;
    if (*behind != ',') throw wrong();
    at = behind + 1;
  }
}

fleet::Trace load_trace(const std::string& path, uint32_t block_tokens) {
  std::ifstream in(path);
  if (!in) throw StartError(fmt::format("--trace {} cannot be read", path));
  auto trace = fleet::read_trace(in, block_tokens);
  if (!trace) throw StartError(fmt::format("--trace {}, {}", path, trace.error()));
  return std::move(*trace);
}

int run_fleet(const FleetAsked& asked) {
  fleet::FleetOptions options = asked.complete();
  fleet::Trace trace;
  if (options.workload.kind == fleet::WorkloadKind::kTrace) {
    trace = load_trace(options.workload.trace, options.workload.trace_block_tokens);
    // To the end of the last copy, if nobody wants less.
    if (!asked.hours_given) {
      const double spread_s = options.workload.trace_copies > 1 ? fleet::kCopySpreadSeconds : 0;
      options.hours = (static_cast<double>(trace.requests.back().arrival_ns) * 1e-9 + spread_s + 1) / 3600;
    }
  }
  std::vector<fleet::FleetOptions> points;
  if (asked.sweep.empty()) {
    points.push_back(options);
  } else {
    for (const uint32_t engines : parse_sweep(asked.sweep)) {
      points.push_back(options);
      points.back().engines = engines;
    }
  }
  for (const fleet::FleetOptions& point : points) {
    if (const std::string wrong = fleet::complaint(point); !wrong.empty()) throw StartError(wrong);
  }
  watch_for_interrupt();
  FleetReport report;
  report.commit = SHADOWSERVE_COMMIT;
  report.sweep = !asked.sweep.empty();
  for (const fleet::FleetOptions& point : points) {
    report.pairs.push_back(run_pair(point, &trace, asked.baseline));
    if (g_stop != 0) break;
  }
  show_report(asked.json, fleet_json(report), [&] {
    if (report.sweep) {
      print_sweep(report, stdout);
    } else {
      print_fleet(report.pairs.front(), report.commit, stdout);
    }
  });
  if (!asked.plot.empty()) write_text(asked.plot, fleet_svg(report));
  return g_stop != 0 ? 130 : 0;
}

}  // namespace

Command add_fleet_sim_command(CLI::App& sim) {
  CLI::App* app = sim.add_subcommand("fleet", "A fleet of engines around one store, for hours, in seconds");
  app->footer(kFooter);
  const auto asked = std::make_shared<FleetAsked>();
  add_fleet_flags(*app, *asked);
  return {app, [asked] { return run_fleet(*asked); }};
}

}  // namespace shadowserve
