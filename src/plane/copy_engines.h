// The copy engines of one direction in one lane: this core's own with perhaps a device's in front, and one
// for each GPU that engines have memory on.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>

#include "contract/limits.h"
#include "plane/rescued_copy_engine.h"
#include "world/copy_engine.h"

namespace shadowserve {

/// GPUs come with the first engine that uses them, while the lane is running: the reception thread adopts
/// their engines, and only then opens the session whose slots ask for them.
class CopyEngines {
 public:
  /// Before the lane runs: copies in this host's memory go to `device`, which outlives this, and this core
  /// stands behind it.
  void put_in_front(CopyEngine& device, const Clock& clock) { rescued_.emplace(device, &host_, clock); }
  /// Reception thread; once for each device.
  void adopt(int device, std::unique_ptr<CopyEngine> engine) {
    owned_[static_cast<size_t>(device)] = std::move(engine);
    devices_[static_cast<size_t>(device)].store(owned_[static_cast<size_t>(device)].get(),
                                                std::memory_order_release);
  }

  // The lane's thread. `device` -1 is this core.
  static constexpr int kHost = -1;
  /// Null for a GPU that nobody adopted.
  CopyEngine* at(int device) {
    if (device == kHost) return rescued_ ? static_cast<CopyEngine*>(&*rescued_) : &host_;
    return devices_[static_cast<size_t>(device)].load(std::memory_order_acquire);
  }
  /// Null without a device in front. Its counters: any thread.
  const RescuedCopyEngine* rescued() const { return rescued_ ? &*rescued_ : nullptr; }

 private:
  HostCopyEngine host_;
  std::optional<RescuedCopyEngine> rescued_;
  std::array<std::unique_ptr<CopyEngine>, kDevicesMax> owned_;
  std::array<std::atomic<CopyEngine*>, kDevicesMax> devices_{};
};

}  // namespace shadowserve
