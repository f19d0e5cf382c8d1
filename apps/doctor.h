// The checks of `shadowserve doctor`: each tells what it found and, where that is not good, what to do.
#pragma once

#include <string>
#include <vector>

#include "settings/settings.h"

namespace shadowserve {

struct Finding {
  enum Grade { kOk, kWarn, kFail };
  Grade grade = kOk;
  std::string subject;  ///< "cores", "memory lock"
  std::string found;
  std::string advice;  ///< empty when there is nothing to do
};

/// The machine: cores, SIMD, memory, memory lock, huge pages, disk, BlueFields, how to receive.
std::vector<Finding> examine_machine(const Settings& settings);
/// What the data plane talks to: the store, a running plane, the engine in `python`.
std::vector<Finding> examine_neighbours(const Settings& settings, const std::string& python);
/// The link across machines, where the settings have one: certificates, and whether a data plane answers.
std::vector<Finding> examine_network(const Settings& settings);

}  // namespace shadowserve
