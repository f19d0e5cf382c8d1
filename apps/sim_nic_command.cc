// `shadowserve sim nic`: the data plane on SmartNICs, beside what a paper measured on one and beside itself
// here.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "bench/bench_report.h"
#include "build_commit.h"
#include "command.h"
#include "sim_nic_report.h"
#include "sim_nic_validation.h"

namespace shadowserve {
namespace {

constexpr const char* kFooter = R"(
Examples:
  shadowserve sim nic                                   a BlueField-3, an L40S, the paper's points; a minute
  shadowserve sim nic --json nic.json --plot nic.svg
  shadowserve sim nic --gpu h100 --model mistral-7b --prefix-tokens 4000
  shadowserve sim nic --validate                        this machine: simulated beside real; minutes, wants quiet
  shadowserve sim nic --validate --settings kv4-memory-1core,kv4-redis-5gbit-1core

The plane's own code runs in virtual time: its stages on modelled cores, over a modelled link, decompression engine,
DMA engine and one memory system that they all share. Four numbers come from the paper of ShadowServe's authors: two
rates are fitted, the interference factor and the GPU's decompression rate are put in. What comes of them is shown
beside what they published, with what it rests on, what is left of it without interference, and what does not match.
docs/simulators/nic.md has the model, every assumption and its source; docs/results/nic.md has results.

--validate fits nothing: in turns it measures a lane's stages, answers and the store alone, predicts the pipeline from
them, and runs it, on as many cores as there are. Run it with nice -n -10, and where sessions have autogroups after
echo -19 > /proc/self/autogroup.)";

struct NicSimOptions {
  nic::StudyOptions study;
  ValidationOptions validation;
  std::string gpu = "l40s", model = "llama-8b", json, plot;
  bool validate = false;
};

/// On a terminal one line that changes.
void tell(const std::string& what) {
  const bool terminal = isatty(STDERR_FILENO) == 1;
  fmt::print(stderr, "{}sim nic: {:60}{}", terminal ? "\r" : "", what, terminal ? "" : "\n");
  std::fflush(stderr);
}

int run_sim(NicSimOptions options) {
  if (options.validate) {
    const ValidationReport report = validate_simulator(options.validation);
    show_report(options.json, validation_json(report, SHADOWSERVE_COMMIT),
                [&] { print_validation(report, stdout); });
    return 0;
  }
  options.study.gpu = options.gpu == "h100" ? nic::h100() : nic::l40s();
  options.study.llm = options.model == "mistral-7b" ? nic::mistral_7b() : nic::llama_8b();
  std::string message;
  const auto study = nic::run_study(options.study, tell, message);
  if (isatty(STDERR_FILENO) == 1) fmt::print(stderr, "\r{:80}\r", "");
  if (!study) throw StartError(message);
  show_report(options.json, study_json(*study, SHADOWSERVE_COMMIT), [&] { print_study(*study, stdout); });
  if (!options.plot.empty()) write_text(options.plot, study_svg(*study, SHADOWSERVE_COMMIT));
  return 0;
}

using Options = std::vector<CLI::Option*>;

Options add_engine_options(CLI::App& app, NicSimOptions& options) {
  nic::StudyOptions& study = options.study;
  return {
      app.add_option("--gpu", options.gpu, "model of the engine's GPU")
          ->check(CLI::IsMember({"l40s", "h100"}))
          ->capture_default_str(),
      app.add_option("--model", options.model, "model that it serves")
          ->check(CLI::IsMember({"llama-8b", "mistral-7b"}))
          ->capture_default_str(),
      app.add_option("--prefix-tokens", study.work.prefix_tokens, "stored tokens of a prompt")
          ->check(CLI::Range(256.0, 200'000.0))
          ->capture_default_str(),
      app.add_option("--fresh-tokens", study.work.fresh_tokens, "tokens of a prompt that are computed")
          ->check(CLI::Range(1.0, 100'000.0))
          ->capture_default_str(),
      app.add_option("--load", study.load, "offered, of what the slower way can do at most")
          ->check(CLI::Range(0.05, 0.99))
          ->capture_default_str(),
      app.add_option("--interference", study.interference,
                     "by which decompression and decoding slow each other")
          ->check(CLI::Range(1.0, 10.0))
          ->capture_default_str(),
      app.add_option("--gpu-gbit", study.gpu_gbit_s, "compressed Gbit/s that an idle GPU decompresses")
          ->check(CLI::Range(0.1, 10'000.0))
          ->capture_default_str(),
  };
}

Options add_effort_options(CLI::App& app, NicSimOptions& options) {
  nic::StudyOptions& study = options.study;
  return {
      app.add_option("--requests", study.work.requests, "of each serving simulation")
          ->check(CLI::Range(20u, 100'000u))
          ->capture_default_str(),
      app.add_option("--seed", study.work.seed, "the first, of the arrivals")->capture_default_str(),
      app.add_option("--seeds", study.seeds, "so many, of which medians are taken")
          ->check(CLI::Range(1u, 1'000u))
          ->capture_default_str(),
      app.add_option("--parts", study.parts,
                     "fetched in each simulation of the plane, for every 16 of its cores")
          ->check(CLI::Range(uint64_t{400}, uint64_t{1'000'000}))
          ->capture_default_str(),
      app.add_option("--plot", options.plot, "also draw TTFT and TPOT against the link's rate")
          ->type_name("FILE.svg"),
  };
}

Options add_validation_options(CLI::App& app, ValidationOptions& validation) {
  std::vector<std::string> names;
  for (const ValidationSetting& setting : validation_settings()) names.push_back(setting.name());
  add_repetitions_option(app, validation.repetitions, "of --validate: rounds, beside one to warm up");
  return {
      app.get_option("--repetitions"),
      app.add_option("--settings", validation.settings, "of --validate, with commas between; all without")
          ->delimiter(',')
          ->check(CLI::IsMember(names)),
      app.add_option("--seconds", validation.seconds, "of --validate: for each trial and repetition")
          ->check(CLI::Range(0.05, 60.0))
          ->capture_default_str(),
  };
}

}  // namespace

Command add_nic_sim_command(CLI::App& sim) {
  CLI::App* app = sim.add_subcommand("nic", "The data plane on SmartNICs that are not here");
  app->footer(kFooter);
  const auto options = std::make_shared<NicSimOptions>();
  // An option that would do nothing is a mistake, and is named.
  const Options engine = add_engine_options(*app, *options), effort = add_effort_options(*app, *options);
  CLI::Option* validate =
      app->add_flag("--validate", options->validate, "this machine instead: measure stages, predict, run");
  for (const Options* of_the_study : {&engine, &effort}) {
    for (CLI::Option* option : *of_the_study) option->excludes(validate);
  }
  for (CLI::Option* option : add_validation_options(*app, options->validation)) option->needs(validate);
  add_json_option(*app, options->json);
  return {app, [options] { return run_sim(*options); }};
}

}  // namespace shadowserve
