// Moves batches by one kernel each; staging memory lies on the GPU.
#pragma once

#include <memory>

#include "kernels/device_memory.h"
#include "kernels/paged_launcher.h"

namespace shadowserve {

class PagedKernels final : public PagedLauncher {
 public:
  /// That one launch may take. Few hold the engine up for longer: beside running streams 4, 16 and 64
  /// cost 4.6, 4.1 and 3.1 % of a decode step (docs/results/headline.md).
  static constexpr uint32_t kThreadBlocks = 64;

  /// For batches numbered below `batches`; `memory` outlives it. Uses `stream`, and waits for it. nullptr: no
  /// memory, or the driver has no such kernels. Blocks. REQUIRES memory.device to be current.
  static std::unique_ptr<PagedKernels> create(const PagedMemory& memory, uint32_t batches, void* stream);

  /// REQUIRES the batch's tables in pinned memory.
  bool launch(uint32_t index, const PagedBatch& batch, PagedDirection direction, void* stream) override;
  /// To an engine a launch is a disturbance, however much it moves.
  uint32_t parts_together() const override { return PagedBatch::kPartsMax; }
  uint32_t parts_per_turn() const override { return PagedBatch::kPartsMax; }

 private:
  PagedKernels(const PagedMemory& memory, DeviceMemory tables);
  std::byte* tables_of(uint32_t index) const { return tables_.data() + bases_pitch_ + index * tables_pitch_; }

  DeviceMemory tables_;  // the layers' bases, then each batch's tables
  size_t bases_pitch_;
  size_t tables_pitch_;
};

}  // namespace shadowserve
