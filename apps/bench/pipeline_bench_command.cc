// `shadowserve bench pipeline`: what a whole data plane delivers over links of several rates, on several
// numbers of cores.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "bench/pipeline_report.h"
#include "build_commit.h"
#include "command.h"
#include "memory/frozen_heap.h"
#include "world/receive_choice.h"

namespace shadowserve {
namespace {

constexpr const char* kFooter = R"(
Examples:
  shadowserve bench pipeline                            made-up values over a redis-server of its own, minutes
  shadowserve bench pipeline --rates 10,unlimited --cores 1,2 --json result.json --plot result.svg
  shadowserve bench pipeline --receive sockets,io_uring,ucx --rates unlimited
  shadowserve bench pipeline --store memory --seconds 1 --separate-stages
  shadowserve bench pipeline --input kv.bin --shape 32x2x2048x8x128 --dtype bf16 --store redis://host:6379

A data plane is started on its threads in this process, this client saves all chunks through it, and then fetches
them back to back: always as many parts asked for as twice the slots. --rates limits what the plane receives, as
?rate= does in a store's address. --cores are numbers of cores: the plane gets the last ones of this machine, this
client, redis-server and relay the others, or any where these are too few. Points are repeated in turns, each with a plane of its
own. The first and the last chunk of each are compared with a straight decode of the stored records.

In the JSON "ratios" are those of the point without a limit (else with the highest) and the most cores. A store given
by its address keeps the bench's records, a few hundred MB at most.)";

std::vector<double> parse_rates(const std::vector<std::string>& words) {
  std::vector<double> rates;
  for (const std::string& word : words) {
    double rate = 0;
    const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), rate);
    const bool number =
        code == std::errc() && end == word.data() + word.size() && rate >= 0.001 && rate <= 10'000;
    if (!number && word != "unlimited") {
      throw StartError(fmt::format(
          "--rates {} is no rate: give Gbit/s from 0.001 to 10000, or unlimited, with commas between", word));
    }
    rates.push_back(number ? rate : 0);
  }
  return rates;
}

/// 1, 2, 4, ... and all there are.
std::vector<uint32_t> default_cores(uint32_t most) {
  std::vector<uint32_t> cores;
  for (uint32_t count = 1; count < most; count *= 2) cores.push_back(count);
  cores.push_back(most);
  return cores;
}

void complete(PipelineBenchOptions& options, const PipelineBench& bench, bool has_rates) {
  if (options.rates.empty()) {
    options.rates = has_rates ? std::vector<double>{5, 10, 20, 40, 100, 0} : std::vector<double>{0};
  }
  if (options.cores.empty()) options.cores = default_cores(bench.machine_cores());
  for (const double rate : options.rates) {
    if (rate > 0 && !has_rates) {
      throw StartError(
          "only Redis has a link whose rate can be limited: use --rates unlimited with this store");
    }
  }
  if (!has_rates && options.receive != std::vector<std::string>{std::string(kReceiveSockets)}) {
    throw StartError("only Redis is received from across a network: leave --receive out with this store");
  }
  for (size_t i = 0; i < options.receive.size(); ++i) {
    if (std::count(options.receive.begin(), options.receive.end(), options.receive[i]) > 1) {
      throw StartError(fmt::format("--receive names {} twice", options.receive[i]));
    }
  }
  for (const uint32_t cores : options.cores) {
    if (cores <= bench.machine_cores()) continue;
    throw StartError(fmt::format("--cores {}: this process may use {}", cores, bench.machine_cores()));
  }
}

Trials make_trials(PipelineBench& bench, const PipelineBenchOptions& options) {
  const uint32_t most = *std::max_element(options.cores.begin(), options.cores.end());
  const auto rig = std::make_shared<StageRig>(bench.input(), bench.choice(),
                                              std::max(options.fetch_slots, 2 * most), bench.staging());
  std::vector<StageKind> kinds{StageKind::kReceive, StageKind::kUnpack};
  if (options.separate_stages) {
    kinds = {StageKind::kReceive, StageKind::kDecompress, StageKind::kDequantize, StageKind::kDeliver};
  }
  Trials trials;
  for (const uint32_t cores : options.cores) {
    for (const StageKind kind : kinds) {
      for (const std::string& receive : options.receive) {
        const bool varies = kind == StageKind::kReceive || receive == options.receive.front();
        if (varies) trials.push_back(alone_trial(bench, kind, cores, rig, receive));
      }
    }
    for (const double rate : options.rates) {
      for (const std::string& receive : options.receive) {
        trials.push_back(plane_trial(bench, rate, cores, receive));
      }
    }
  }
  return trials;
}

PipelineReport run_trials(PipelineBenchOptions options) {
  PipelineReport report;
  report.machine = describe_machine();
  PipelineBench bench(options);
  complete(options, bench, bench.store().has_rates());
  report.rows = run_rounds(make_trials(bench, options), options.repetitions);
  report.options = options;
  report.commit = SHADOWSERVE_COMMIT;
  report.store = bench.store().name();
  report.own_server = bench.store().own_server();
  report.profile = bench.profile().name();
  report.ratio = bench.ratio();
  report.window = bench.window();
  report.heap_watched = heap_is_watched();
  return report;
}

int run_pipeline(PipelineBenchOptions options, const std::vector<std::string>& rates) {
  options.rates = parse_rates(rates);
  const PipelineReport report = run_trials(std::move(options));
  show_report(report.options.json, pipeline_json(report), [&] { print_pipeline(report, stdout); });
  if (!report.options.plot.empty()) write_text(report.options.plot, pipeline_svg(report));
  return 0;
}

}  // namespace

Command add_pipeline_bench_command(CLI::App& bench) {
  CLI::App* app = bench.add_subcommand("pipeline", "What a whole data plane delivers over a link");
  app->footer(kFooter);
  const auto options = std::make_shared<PipelineBenchOptions>();
  const auto rates = std::make_shared<std::vector<std::string>>();
  add_dump_options(*app, options->dump);
  add_chunk_tokens_option(*app, options->dump);
  app->add_option("--profile", options->profile, "profile of the records")->capture_default_str();
  add_store_option(*app, options->store);
  app->add_option("--rates", *rates, "link rates in Gbit/s; 5,10,20,40,100,unlimited without")
      ->delimiter(',')
      ->type_name("RATES");
  app->add_option("--cores", options->cores, "numbers of cores; 1,2,4 and so on without")
      ->delimiter(',')
      ->type_name("NUMBERS")
      ->check(CLI::Range(1u, 4096u));
  app->add_option("--receive", options->receive,
                  "ways to receive, each beside the first: sockets, io_uring, ucx")
      ->delimiter(',')
      ->type_name("HOW")
      ->check(CLI::IsMember(std::vector<std::string>(kReceiveNames.begin(), kReceiveNames.end())))
      ->capture_default_str();
  app->add_option("--fetch-slots", options->fetch_slots, "slots for fetches")
      ->check(CLI::Range(2u, 64u))
      ->capture_default_str();
  app->add_flag("--separate-stages", options->separate_stages,
                "decompress, dequantize and deliver as stages of their own");
  app->add_option("--seconds", options->seconds, "measured for each point and repetition")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  add_repetitions_option(*app, options->repetitions, "rounds, beside a short one to warm up");
  add_json_option(*app, options->json);
  app->add_option("--plot", options->plot, "also draw delivered against link rates")->type_name("FILE.svg");
  return {app, [options, rates] { return run_pipeline(*options, *rates); }};
}

}  // namespace shadowserve
