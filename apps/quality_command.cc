// `shadowserve quality`: hands over to the Python package, which has vLLM to ask.
#include "command.h"
#include "python_module.h"

namespace shadowserve {
namespace {

int run_quality(const std::vector<std::string>& given) {
  // The data plane that is measured is this very command; who names another one comes later and wins.
  std::vector<std::string> words;
  if (const std::string self = own_path(); !self.empty()) words = {"--plane-command", self};
  words.insert(words.end(), given.begin(), given.end());
  become_python_module("shadowserve.quality.quality_command", words);
}

}  // namespace

Command add_quality_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand(
      "quality", "What each profile costs in bytes and in answers, with a model's engine");
  app->set_help_flag("");  // --help, like everything behind the name, is the package's
  app->prefix_command();
  return {app, [app] { return run_quality(app->remaining()); }, /*passes_on=*/true};
}

}  // namespace shadowserve
