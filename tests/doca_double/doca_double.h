// Tells the DOCA double how to behave, and asks it what its caller did wrong.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace doca_double {

/// How the device behaves from now on. Set it while no other thread is inside DOCA.
struct Behaviour {
  uint32_t devices = 1;
  bool inflates = true;
  bool copies = true;
  uint64_t inflate_bytes_max = 2u << 20;
  uint64_t copy_bytes_max = 2u << 20;
  uint32_t tasks_max = 1024;
  bool starts_later = false;    ///< a context is "starting" for a while
  uint32_t starts_failing = 0;  ///< this many starts of a context fail

  uint32_t busy_submits = 0;        ///< this many submits are told "again"
  uint32_t busy_every = 0;          ///< and every n-th
  uint32_t failing_tasks = 0;       ///< this many tasks fail
  uint32_t failing_every = 0;       ///< and every n-th
  uint64_t reorder_seed = 0;        ///< not 0: tasks end in an order drawn from it
  bool holding = false;             ///< no task ends (but a context that is stopped gives them back)
  uint32_t holds_after_tasks = 0;   ///< not 0: holds once so many more tasks have ended
  uint32_t resets_after_tasks = 0;  ///< the device resets once so many more tasks were submitted
  uint32_t resets_every = 0;        ///< and at every n-th task
};
Behaviour& behaviour();

/// Every running context stops by itself; what is under way fails.
void reset_device();

struct Counts {
  uint64_t submits = 0;  ///< calls
  uint64_t busy = 0;     ///< of these, told "again"
  uint64_t completed = 0;
  uint64_t failed = 0;
  uint64_t flushed = 0;  ///< by a reset or a stop
  uint64_t resets = 0;
  uint64_t starts = 0;
  uint64_t out_of_order = 0;  ///< ended although an older one was under way
};
const Counts& counts();

/// What the caller did that DOCA's documentation forbids, since the last call.
std::vector<std::string> complaints();
/// Objects that were created and not destroyed.
size_t objects_alive();
/// As at the program's start. REQUIRES that no object is alive.
void start_over();

}  // namespace doca_double
