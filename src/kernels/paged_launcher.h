// Seam: what the parts of a batch are moved by, a kernel or the GPU's copy engines.
#pragma once

#include <cstdint>

#include "kernels/paged_batch.h"

namespace shadowserve {

/// One thread; nothing waits.
class PagedLauncher {
 public:
  virtual ~PagedLauncher() = default;
  /// Puts all parts of batch number `index` on `stream` (a cudaStream_t of the current device). The batch
  /// stays as it is until the stream has passed it. False: the driver refused some of it.
  virtual bool launch(uint32_t index, const PagedBatch& batch, PagedDirection direction, void* stream) = 0;
  /// Parts worth waiting for before a launch.
  virtual uint32_t parts_together() const = 0;
  /// Parts that can be launched without keeping this thread from other things for long.
  virtual uint32_t parts_per_turn() const = 0;
};

}  // namespace shadowserve
