// Subcommands that are Python modules: this process becomes the Python that has the package.
#pragma once

#include <string>
#include <vector>

namespace shadowserve {

/// `python -m MODULE WORDS...` in place of this process, with the Python beside this command if there is one.
/// Where that does not find the module it says what to install. Never returns; throws StartError when there
/// is no Python.
[[noreturn]] void become_python_module(const std::string& module, const std::vector<std::string>& words);

/// Path of the running command; empty where the system does not say.
std::string own_path();

}  // namespace shadowserve
