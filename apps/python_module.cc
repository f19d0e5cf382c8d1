// Finds the Python, and has it look for the module before it is run.
#include "python_module.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "command.h"

namespace shadowserve {
namespace {

// `python -m` would say nothing of what to do where the package is missing.
constexpr const char* kRunModule = R"(import importlib.util, runpy, sys
module = sys.argv.pop(1)
def found(name):
    parent = name.rpartition('.')[0]
    return (not parent or found(parent)) and importlib.util.find_spec(name)
if not found(module):
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
  const auto beside = std::filesystem::path(own_path()).parent_path() / "python3";
  return beside.has_parent_path() && access(beside.c_str(), X_OK) == 0 ? beside.string() : "python3";
}

}  // namespace

std::string own_path() {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  return failed ? "" : self.string();
}

void become_python_module(const std::string& module, const std::vector<std::string>& words) {
  const std::string python = nearest_python();
  std::vector<std::string> all = {python, "-c", kRunModule, module};
  all.insert(all.end(), words.begin(), words.end());
  execvp(python.c_str(), pointers(all).data());
  throw StartError(fmt::format("cannot start {}", python));
}

}  // namespace shadowserve
