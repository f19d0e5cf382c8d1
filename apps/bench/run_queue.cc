// Reads what the scheduler counted.
#include "bench/run_queue.h"

#include <filesystem>
#include <fstream>
#include <string>

namespace shadowserve {

uint64_t waited_for_core_ns(std::string_view thread_name) {
  uint64_t sum_ns = 0;
  std::error_code gone;  // a thread may end while we look
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", gone)) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (!name.starts_with(thread_name)) continue;
    uint64_t ran_ns = 0, waited_ns = 0;
    std::ifstream(task.path() / "schedstat") >> ran_ns >> waited_ns;
    sum_ns += waited_ns;
  }
  return sum_ns;
}

}  // namespace shadowserve
