// A machine as the simulator knows it: what its cores take for each stage's work, its engines, its memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "plane/stage.h"

namespace shadowserve::nic {

/// A linear function of what a stage's counters count. `rest` is bytes moved that are neither read nor
/// written by the stage's own count: for unpacking, the coded bytes that went through the decoder.
struct PerCount {
  double slot = 0, in = 0, out = 0, rest = 0;
};

/// What a core's work in a stage takes: nanoseconds when nothing else runs, and bytes that go to and from
/// memory.
struct StageCost {
  PerCount ns;
  PerCount memory_bytes;
};

/// An engine beside the cores, shared by all lanes.
struct EngineModel {
  bool present = false;   ///< absent: the core does it, as the product's own engines do
  double gb_s = 0;        ///< of all units together: inflate counts symbols written, DMA bytes copied
  uint32_t units = 1;     ///< tasks at a time
  double latency_ns = 0;  ///< from the end of a task's work to its completion
};

struct NicMachine {
  std::string name;
  uint32_t cores = 1;
  uint32_t fetch_slots = 16;
  bool separate_stages = false;
  double memory_gb_s = 0;  ///< 0: ample
  double turn_ns = 0;      ///< of a loop's turn that moved something, beside the stages' work
  std::map<std::string, StageCost, std::less<>> stages;  ///< by Stage::name(); others take no time
  EngineModel inflate, dma;
  double network_gbit_s =
      0;  ///< of the way from the wire to memory, which all lanes share; 0: as fast as the link
  double link_memory_bytes = 0;  ///< to memory for each byte that arrives, before a core touches it
  double link_rtt_ns = 0;
};

/// What a stage's counters said.
struct StageCounts {
  uint64_t slots = 0, in = 0, out = 0, moved = 0;
  static StageCounts of(const StageCounters& counters) {
    return {counters.slots.read(), counters.bytes_in.read(), counters.bytes_out.read(),
            counters.bytes_moved.read()};
  }
  friend bool operator==(const StageCounts&, const StageCounts&) = default;
};

/// Of what was counted between two readings; never negative.
double amount(const PerCount& per, const StageCounts& before, const StageCounts& after);

}  // namespace shadowserve::nic
