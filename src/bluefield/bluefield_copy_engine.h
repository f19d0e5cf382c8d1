// The DMA engine of a BlueField: copies between slots and staging memory through DOCA DMA.
#pragma once

#include <memory>

#include "bluefield/bluefield_device.h"
#include "world/copy_engine.h"

namespace shadowserve {

/// As BluefieldInflateEngine. Each side of a task lies in the slots or in a staging memory of the reach,
/// which may be a window into the host beyond the PCIe bus; other memory is refused with kUnsupported.
class BluefieldCopyEngine final : public CopyEngine {
 public:
  static Result<std::unique_ptr<BluefieldCopyEngine>> create(const BluefieldDevice& device,
                                                             const BluefieldReach& reach, size_t depth_max);
  ~BluefieldCopyEngine() override;

  CopyAbilities abilities() const override;
  Result<void> submit(const CopyTask& task) override;
  size_t poll(std::span<CopyDone> out) override;
  bool lost() const override;
  void abandon() override;
  Result<void> revive();

 private:
  struct Queue;
  explicit BluefieldCopyEngine(std::unique_ptr<Queue> queue);
  std::unique_ptr<Queue> queue_;
};

}  // namespace shadowserve
