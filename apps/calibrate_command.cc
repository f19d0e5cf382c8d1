// `shadowserve calibrate`: hands over to the Python package, which has PyTorch to measure a model with.
#include "command.h"
#include "python_module.h"

namespace shadowserve {

Command add_calibrate_command(CLI::App& root) {
  CLI::App* app =
      root.add_subcommand("calibrate", "Measure a model, once, for the profiles near, balanced and far");
  app->set_help_flag("");  // --help, like everything behind the name, is the package's
  app->prefix_command();
  const auto run = [app]() -> int { become_python_module("shadowserve.calibration", app->remaining()); };
  return {app, run, /*passes_on=*/true};
}

}  // namespace shadowserve
