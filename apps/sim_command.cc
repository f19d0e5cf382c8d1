// `shadowserve sim`: the group of the simulators.
#include <fmt/format.h>

#include "command.h"

namespace shadowserve {
namespace {

constexpr const char* kFooter = R"(
Examples:
  shadowserve sim fleet --engines 1000   hits, times and cost of a fleet for an hour
  shadowserve sim nic                    the data plane on SmartNICs that are not at hand, beside published measurements
  shadowserve sim nic --validate         the simulator beside the real pipeline on this machine

Simulators run the product's own code where they can, in virtual time. docs/simulators says what each one models.)";

}  // namespace

Command add_sim_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand("sim", "Simulate what is not at hand");
  app->footer(kFooter);
  return {app, [app] {
            fmt::print("{}", app->help());
            return 2;
          }};
}

}  // namespace shadowserve
