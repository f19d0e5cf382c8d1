// The control plane's log: a few lines on stderr about the data plane coming and going.
#pragma once

#include <spdlog/spdlog.h>

namespace shadowserve {

/// Any thread. Created on first use; the level comes from $SHADOWSERVE_LOG ("off" silences it), default info.
spdlog::logger& link_log();

}  // namespace shadowserve
