// Moves batches by the GPU's copy engines, with no kernel; staging memory is registered host memory.
#pragma once

#include "kernels/paged_launcher.h"
#include "kernels/paged_runs.h"

namespace shadowserve {

class PagedCopies final : public PagedLauncher {
 public:
  /// REQUIRES PagedRuns::fit().
  explicit PagedCopies(const PagedMemory& memory) : runs_(memory) {}
  /// One call of the driver for a part where CUDA has one (13).
  bool launch(uint32_t index, const PagedBatch& batch, PagedDirection direction, void* stream) override;
  uint32_t parts_together() const override { return 1; }
  /// Each is a call with dozens of copies.
  uint32_t parts_per_turn() const override { return 8; }

 private:
  PagedRuns runs_;
};

}  // namespace shadowserve
