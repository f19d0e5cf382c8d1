// The engines of one BlueField for all lanes of a data plane, and their care.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bluefield/bluefield_copy_engine.h"
#include "bluefield/bluefield_device.h"
#include "bluefield/bluefield_inflate_engine.h"
#include "plane/hardware_care.h"

namespace shadowserve {

/// Engines of a device that a lane works with; null: this core does it.
struct DeviceEngines {
  InflateEngine* inflate = nullptr;
  CopyEngine* deliver = nullptr;
  CopyEngine* collect = nullptr;
};

/// Opens the device, tells it of the slots and later of each staging memory, and revives engines that a reset
/// has taken: at once, then ever more rarely, up to every 10 s, for as long as the plane runs. Meanwhile the
/// lanes work without it. All calls: main thread; they block.
class BluefieldEngines final : public HardwareCare {
 public:
  /// Empty `address`: the first device that can. `message` on failure is a sentence for a person. Errors as
  /// BluefieldDevice::open().
  static Result<std::unique_ptr<BluefieldEngines>> create(const std::string& address,
                                                          std::span<std::byte> slots, size_t lanes,
                                                          std::string& message);
  DeviceEngines lane(size_t number);
  const BluefieldAbilities& abilities() const { return device_->abilities(); }

  void staging_opened(size_t row, std::span<std::byte> staging) override;
  /// The same for memory of a host beyond the PCIe bus, given by what doca_mmap_export_pci() said there.
  /// False when the device cannot reach it; then nobody can.
  bool window_opened(size_t row, std::span<const std::byte> window);
  void staging_closing(size_t row) override;
  bool tend(uint64_t now_ns) override;

 private:
  struct LaneOf {
    std::unique_ptr<BluefieldInflateEngine> inflate;
    std::unique_ptr<BluefieldCopyEngine> deliver;
    std::unique_ptr<BluefieldCopyEngine> collect;
  };
  /// One engine under care.
  struct Patient {
    std::string name;
    std::function<bool()> lost;
    std::function<Result<void>()> revive;
    uint64_t wait_ns = 0;  ///< 0: it is well, as far as we know
    uint64_t next_ns = 0;
  };
  BluefieldEngines() = default;
  bool add_lane();
  bool keep_staging(size_t row, Result<std::unique_ptr<BluefieldMemory>> memory);
  void attend(Patient& patient, uint64_t now_ns);

  // Members die in reverse: engines, memory, device.
  std::unique_ptr<BluefieldDevice> device_;
  std::unique_ptr<BluefieldMemory> slots_;
  std::array<std::unique_ptr<BluefieldMemory>, kSessionsMax> staging_;
  std::unique_ptr<BluefieldReach> reach_;
  std::vector<LaneOf> lanes_;
  std::vector<Patient> patients_;
};

}  // namespace shadowserve
