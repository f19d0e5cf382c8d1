// `shadowserve sim`: what can be simulated.
#include <fmt/format.h>

#include "command.h"

namespace shadowserve {
namespace {

constexpr const char* kGroupFooter = R"(
Examples:
  shadowserve sim fleet --engines 1000               hits, times and cost of a fleet for an hour)";

}  // namespace

Command add_sim_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand("sim", "Simulate what this machine is too small for");
  app->footer(kGroupFooter);
  return {app, [app] {
            fmt::print("{}", app->help());
            return 2;
          }};
}

}  // namespace shadowserve
