// The `shadowserve` command: parses the command line and hands over to one subcommand.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <vector>

#include "command.h"
#include "store/store_url.h"

namespace shadowserve {
namespace {

constexpr const char* kFooter = R"(
Examples:
  shadowserve doctor                                    is this machine ready?
  shadowserve plane --store rocksdb:/var/lib/kv --cores 1
  shadowserve stats                                     watch it work
  shadowserve relay --listen 0.0.0.0:6390 --to redis://127.0.0.1:6379   beside a store, for planes that --receive ucx
  shadowserve inspect --store redis://host:6379 KEY     what is in this record?
  shadowserve plan --link 20gbit --cores 2 --model DIR  which profile here, and why?
  shadowserve calibrate MODEL                           for the profiles near, balanced and far (needs PyTorch)
  shadowserve quality MODEL                             what each profile costs in answers (needs vLLM)
  shadowserve calibration publish FILE                  so that every engine of the model has it
  shadowserve link keys DIR                             certificates for engines on another machine
  shadowserve bench codec                               how fast are the codec and its peers here?
  shadowserve sim fleet --engines 1000                  what a fleet would gain, and what it costs
  shadowserve sim nic                                   how fast would it be on SmartNICs that are not here?

Settings come from, later wins: defaults, a TOML file (--config or $SHADOWSERVE_CONFIG),
environment variables SHADOWSERVE_<NAME>, flags. docs/running.md lists them all.)";

/// "shadowserve plane --stor x": names the nearest flag or subcommand instead of only saying no.
std::string suggestion(const CLI::App& app, const std::string& wrong) {
  std::vector<std::string> names;
  const std::string name = wrong.substr(0, wrong.find('='));
  if (name.starts_with("-")) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& long_name : option->get_lnames()) names.push_back("--" + long_name);
    }
  } else {
    for (const CLI::App* sub : app.get_subcommands({})) names.push_back(sub->get_name());
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string_view near = nearest_name(name, views);
  return near.empty() ? fmt::format("see {} --help", app.get_name())
                      : fmt::format("did you mean \"{}\"?", near);
}

int run_command(int argument_count, char** arguments) {
  CLI::App root("ShadowServe: a KV-prefix cache for LLM servers that does not disturb serving.",
                "shadowserve");
  root.set_version_flag("--version", std::string("shadowserve ") + SHADOWSERVE_VERSION);
  root.footer(kFooter);
  root.allow_extras();
  const Command calibration = add_calibration_command(root), link = add_link_command(root),
                codec = add_codec_command(root), bench = add_bench_command(root), sim = add_sim_command(root);
  // Groups before what is in them: the last one that was named runs.
  const std::array commands = {add_plane_command(root),
                               add_doctor_command(root),
                               add_inspect_command(root),
                               add_stats_command(root),
                               add_relay_command(root),
                               add_plan_command(root),
                               add_calibrate_command(root),
                               add_quality_command(root),
                               calibration,
                               add_show_calibration_command(*calibration.app),
                               add_publish_calibration_command(*calibration.app),
                               link,
                               add_link_keys_command(*link.app),
                               codec,
                               add_roundtrip_command(*codec.app),
                               bench,
                               add_codec_bench_command(*bench.app),
                               add_stage_bench_command(*bench.app),
                               add_pipeline_bench_command(*bench.app),
                               add_link_bench_command(*bench.app),
                               sim,
                               add_fleet_sim_command(*sim.app),
                               add_nic_sim_command(*sim.app)};
  for (const Command& command : commands) command.app->allow_extras();
  try {
    root.parse(argument_count, arguments);
  } catch (const CLI::ParseError& error) {
    const int code = root.exit(error);
    return code == 0 ? 0 : 2;
  }
  const Command* chosen = nullptr;
  for (const Command& command : commands) {
    if (command.app->parsed()) chosen = &command;
  }
  const CLI::App& speaker = chosen != nullptr ? *chosen->app : root;
  const bool passes_on = chosen != nullptr && chosen->passes_on;
  if (const std::vector<std::string> extras = root.remaining(true); !extras.empty() && !passes_on) {
    fmt::print(stderr, "shadowserve: \"{}\" means nothing here; {}\n", extras.front(),
               suggestion(speaker, extras.front()));
    return 2;
  }
  if (chosen == nullptr) {
    fmt::print("{}", root.help());
    return 2;
  }
  return chosen->run();
}

}  // namespace
}  // namespace shadowserve

int main(int argument_count, char** arguments) {
  try {
    return shadowserve::run_command(argument_count, arguments);
  } catch (const std::exception& error) {
    fmt::print(stderr, "shadowserve: {}\n", error.what());
    return 1;
  }
}
