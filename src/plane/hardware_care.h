// What engines that are not this core's need of the plane's main thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace shadowserve {

/// Main thread; every call may block and allocate.
class HardwareCare {
 public:
  virtual ~HardwareCare() = default;
  /// An engine attached with staging memory in this host. Row of the session table.
  virtual void staging_opened(size_t row, std::span<std::byte> staging) = 0;
  /// Before that memory is unmapped; nothing of it is in flight. Also for rows that never opened any.
  virtual void staging_closing(size_t row) = 0;
  /// Now and then. True: again soon.
  virtual bool tend(uint64_t now_ns) = 0;
};

}  // namespace shadowserve
