// One stderr logger of our own: the engine's default logger may go elsewhere.
#include "control/link_log.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <cstdlib>
#include <memory>

namespace shadowserve {

spdlog::logger& link_log() {
  // Leaked on purpose: a link thread may say its last line while the process is being torn down.
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("shadowserve", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("[%Y-%m-%d %H:%M:%S] shadowserve %l: %v");
    const char* level = std::getenv("SHADOWSERVE_LOG");
    made->set_level(level != nullptr ? spdlog::level::from_str(level) : spdlog::level::info);
    return made;
  }();
  return *logger;
}

}  // namespace shadowserve
