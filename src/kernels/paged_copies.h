// Moves batches by the GPU's copy engines, with no kernel; staging memory is registered host memory.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/paged_launcher.h"
#include "kernels/paged_runs.h"

namespace shadowserve {

/// Piece i goes from `from`[i] to `to`[i], `bytes`[i] long: one call of the driver, which takes as long for
/// a call as the GPU for several pages. False when it refuses. `stream` is a cudaStream_t, not the default
/// one.
bool copy_pieces(std::span<std::byte* const> to, std::span<std::byte* const> from,
                 std::span<const size_t> bytes, void* stream);

class PagedCopies final : public PagedLauncher {
 public:
  /// REQUIRES PagedRuns::fit().
  explicit PagedCopies(const PagedMemory& memory) : runs_(memory) {}
  /// One call of the driver for a part.
  bool launch(uint32_t index, const PagedBatch& batch, PagedDirection direction, void* stream) override;
  uint32_t parts_together() const override { return 1; }
  /// Each is a call with dozens of copies.
  uint32_t parts_per_turn() const override { return 8; }

 private:
  PagedRuns runs_;
};

}  // namespace shadowserve
