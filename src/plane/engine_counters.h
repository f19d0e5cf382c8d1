// What became of the tasks of one hardware engine, for stats.
#pragma once

#include "telemetry/stage_counters.h"

namespace shadowserve {

struct EngineCounters {
  Counter by_device;  ///< tasks that the device did
  Counter by_host;    ///< that this core did, because the device could not take them or failed them
  Counter failed;     ///< of the device's, also those that a reset took
  Counter abandoned;  ///< times that a task took too long and everything was asked back
};

/// Longer a task of at most 2 MiB never takes on a device that works: it is milliseconds at worst, behind
/// everything else in the queue. And short against the seconds that an engine waits for a fetch.
inline constexpr uint64_t kEngineTaskNsMax = 500'000'000;

}  // namespace shadowserve
