// Pins the bench to one core and says which machine it is.
#include <fmt/format.h>
#include <hwy/targets.h>
#include <sched.h>
#include <unistd.h>

#include <fstream>

#include "bench/bench_report.h"
#include "command.h"

namespace shadowserve {
namespace {

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name") && line.find(": ") != std::string::npos) {
      return line.substr(line.find(": ") + 2);
    }
  }
  return "unknown";
}

}  // namespace

std::vector<int> allowed_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  std::vector<int> cores;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(static_cast<unsigned>(i), &allowed)) cores.push_back(i);
  }
  return cores;
}

BenchMachine describe_machine() {
  // Lower bits are better targets; those that this build has are chosen from.
  const int64_t usable = hwy::SupportedTargets() & HWY_TARGETS;
  const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return {cpu_model(), hwy::TargetName(usable & -usable), static_cast<int>(allowed_cores().size()), -1,
          cache > 0 ? static_cast<size_t>(cache) : 0};
}

void limit_simd(const std::string& name) {
  std::string known;
  for (int64_t target = 1; target <= HWY_TARGETS && target > 0; target <<= 1) {
    if ((target & hwy::SupportedTargets() & HWY_TARGETS) == 0) continue;
    if (name == hwy::TargetName(target)) {
      hwy::SetSupportedTargetsForTest(hwy::SupportedTargets() & ~(target - 1));  // lower bits are better
      return;
    }
    known += fmt::format("{}{}", known.empty() ? "" : ", ", hwy::TargetName(target));
  }
  throw StartError(fmt::format("--simd {}: this machine and build have {}", name, known));
}

BenchMachine pin_and_describe(int core) {
  BenchMachine machine = describe_machine();
  if (core < 0) core = allowed_cores().back();
  machine.core = core;
  cpu_set_t one;
  CPU_ZERO(&one);
  if (core < CPU_SETSIZE) CPU_SET(static_cast<unsigned>(core), &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) {
    throw StartError(
        fmt::format("cannot run on core {}: choose one that this process may use (taskset -pc $$)", core));
  }
  return machine;
}

}  // namespace shadowserve
