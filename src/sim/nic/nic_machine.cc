// Counts into nanoseconds and bytes.
#include "sim/nic/nic_machine.h"

#include <algorithm>

namespace shadowserve::nic {

double amount(const PerCount& per, const StageCounts& before, const StageCounts& after) {
  const auto slots = static_cast<double>(after.slots - before.slots);
  const auto in = static_cast<double>(after.in - before.in);
  const auto out = static_cast<double>(after.out - before.out);
  const auto moved = static_cast<double>(after.moved - before.moved);
  return std::max(0.0, per.slot * slots + per.in * in + per.out * out + per.rest * (moved - in - out));
}

}  // namespace shadowserve::nic
