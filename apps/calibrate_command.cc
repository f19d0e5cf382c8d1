// `shadowserve calibrate`: hands over to the Python package, which has PyTorch to measure a model with.
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "command.h"

extern char** environ;

namespace shadowserve {
namespace {

constexpr const char* kModule = "shadowserve.calibration";

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

bool has_package(const std::string& python) {
  std::vector<std::string> words = {
      python, "-c",
      fmt::format("import importlib.util as u, sys; sys.exit(u.find_spec('shadowserve') is None or "
                  "u.find_spec('{}') is None)",
                  kModule)};
  pid_t child = 0;
  if (posix_spawnp(&child, python.c_str(), nullptr, nullptr, pointers(words).data(), environ) != 0)
    return false;
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int run_calibrate(const std::vector<std::string>& given) {
  const std::string python = nearest_python();
  if (!has_package(python)) {
    throw StartError(
        fmt::format("{} has no package {}: install this project beside vLLM (pip install .) and run the "
                    "`shadowserve` of that environment",
                    python, kModule));
  }
  std::vector<std::string> words = {python, "-m", kModule};
  words.insert(words.end(), given.begin(), given.end());
  execvp(python.c_str(), pointers(words).data());
  throw StartError(fmt::format("cannot start {}", python));
}

}  // namespace

Command add_calibrate_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand(
      "calibrate", "Measure a model, once, for denser profiles; engines do not use these yet");
  app->set_help_flag("");  // --help, like everything behind the name, is the package's
  app->prefix_command();
  return {app, [app] { return run_calibrate(app->remaining()); }, /*passes_on=*/true};
}

}  // namespace shadowserve
