// The decompression engine of a BlueField: Deflate frames through DOCA Compress.
#pragma once

#include <memory>

#include "bluefield/bluefield_device.h"
#include "world/inflate_engine.h"

namespace shadowserve {

/// One DOCA context with a progress engine of its own. Everything is taken by create() and revive();
/// submit() and poll() allocate nothing and never wait. Both sides of a task lie in the slots.
class BluefieldInflateEngine final : public InflateEngine {
 public:
  /// `depth_max` tasks at once, fewer if the device has fewer. Device and reach outlive the engine. Errors:
  /// kSystem, kUnsupported = built without DOCA. Blocks.
  static Result<std::unique_ptr<BluefieldInflateEngine>> create(const BluefieldDevice& device,
                                                                const BluefieldReach& reach,
                                                                size_t depth_max);
  /// Takes back what is under way, for up to a second. REQUIRES that nobody uses it.
  ~BluefieldInflateEngine() override;

  InflateAbilities abilities() const override;
  Result<void> submit(const InflateTask& task) override;
  size_t poll(std::span<InflateDone> out) override;
  bool lost() const override;
  void abandon() override;
  /// REQUIRES lost(). Starts the context again; afterwards the engine is as new. On failure (kSystem) it
  /// stays lost. Main thread; blocks and allocates.
  Result<void> revive();

 private:
  struct Queue;
  explicit BluefieldInflateEngine(std::unique_ptr<Queue> queue);
  std::unique_ptr<Queue> queue_;
};

}  // namespace shadowserve
