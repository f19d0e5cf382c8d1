// `shadowserve calibrate`: hands over to the Python package, which has PyTorch to measure a model with.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "command.h"

namespace shadowserve {
namespace {

// `python -m` would say nothing of what to do where the package is missing.
constexpr const char* kRunModule = R"(import importlib.util, runpy, sys
module = 'shadowserve.calibration'
if not (importlib.util.find_spec('shadowserve') and importlib.util.find_spec(module)):
    sys.exit(f'shadowserve: {sys.executable} has no package {module}: install this project beside vLLM '
             '(pip install .) and run the `shadowserve` of that environment')
runpy.run_module(module, run_name='__main__', alter_sys=True))";

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

/// A wheel puts this command beside the Python that has the package.
std::string nearest_python() {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  const auto beside = self.parent_path() / "python3";
  return !failed && access(beside.c_str(), X_OK) == 0 ? beside.string() : "python3";
}

int run_calibrate(const std::vector<std::string>& given) {
  const std::string python = nearest_python();
  std::vector<std::string> words = {python, "-c", kRunModule};
  words.insert(words.end(), given.begin(), given.end());
  execvp(python.c_str(), pointers(words).data());
  throw StartError(fmt::format("cannot start {}", python));
}

}  // namespace

Command add_calibrate_command(CLI::App& root) {
  CLI::App* app =
      root.add_subcommand("calibrate", "Measure a model, once, for the profiles near, balanced and far");
  app->set_help_flag("");  // --help, like everything behind the name, is the package's
  app->prefix_command();
  return {app, [app] { return run_calibrate(app->remaining()); }, /*passes_on=*/true};
}

}  // namespace shadowserve
