// What became of every request of one kind: the plane's part of the hit funnel.
#pragma once

#include <array>

#include "contract/error.h"
#include "telemetry/stage_counters.h"

namespace shadowserve {

/// asked = sum(ended) + what is in flight. Written by the data plane's first thread, read by anyone.
struct Funnel {
  Counter asked;
  std::array<Counter, kErrorCount> ended;  ///< by Error; [0] = it worked
  Counter wire_bytes;
  Counter value_bytes;

  void end(Error error) { ended[static_cast<size_t>(error)].add(1); }
};

struct Funnels {
  Funnel lookup;
  Funnel fetch;
  Funnel save;
};

}  // namespace shadowserve
