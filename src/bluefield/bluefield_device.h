// A BlueField: what its firmware lets us do, and the memory that it may reach.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "contract/limits.h"
#include "contract/result.h"

// DOCA's, never looked into here: this header needs no SDK.
struct doca_dev;
struct doca_mmap;

namespace shadowserve {

/// What one device says of itself, in DOCA's capability calls. 0 bytes: it does not do that.
struct BluefieldAbilities {
  std::string address;           ///< PCI, "0000:03:00.0"
  size_t inflate_bytes_max = 0;  ///< Deflate decompression (DOCA Compress), source and destination each
  size_t copy_bytes_max = 0;     ///< DOCA DMA
  bool complete() const { return inflate_bytes_max > 0 && copy_bytes_max > 0; }
};

/// False in a build without DOCA. Then nothing below finds or opens anything (kUnsupported).
bool bluefield_built();

/// Every device that DOCA sees, also those that can do neither. Blocks.
std::vector<BluefieldAbilities> find_bluefields();

/// An open device. Outlives everything made with it. Main thread.
class BluefieldDevice {
 public:
  /// The device at `address`, or for an empty one the first that both inflates and copies. Errors: kConfig =
  /// there is none, or it cannot (`message` says which), kSystem, kUnsupported = built without DOCA. Blocks.
  static Result<std::unique_ptr<BluefieldDevice>> open(const std::string& address, std::string& message);
  ~BluefieldDevice();
  BluefieldDevice(const BluefieldDevice&) = delete;
  BluefieldDevice& operator=(const BluefieldDevice&) = delete;

  const BluefieldAbilities& abilities() const { return abilities_; }
  doca_dev* handle() const { return device_; }

 private:
  BluefieldDevice() = default;
  BluefieldAbilities abilities_;
  doca_dev* device_ = nullptr;
};

/// Memory that the device may read and write. Main thread; made and destroyed while nothing of it is in a
/// task.
class BluefieldMemory {
 public:
  /// This process's memory, which stays mapped for this object's life. Errors: kSystem, kUnsupported. Blocks.
  static Result<std::unique_ptr<BluefieldMemory>> share(const BluefieldDevice& device,
                                                        std::span<std::byte> memory);
  /// Memory of the host beyond the PCIe bus: `window` is what doca_mmap_export_pci() gave there. Addresses in
  /// tasks are that process's; this core cannot follow them. Errors as share().
  static Result<std::unique_ptr<BluefieldMemory>> import(const BluefieldDevice& device,
                                                         std::span<const std::byte> window);
  ~BluefieldMemory();
  BluefieldMemory(const BluefieldMemory&) = delete;
  BluefieldMemory& operator=(const BluefieldMemory&) = delete;

  bool contains(const std::byte* from, size_t bytes) const {
    return from >= start_ && bytes <= bytes_ && static_cast<size_t>(from - start_) <= bytes_ - bytes;
  }
  std::byte* start() const { return start_; }
  size_t bytes() const { return bytes_; }
  doca_mmap* handle() const { return map_; }

 private:
  BluefieldMemory() = default;
  std::byte* start_ = nullptr;
  size_t bytes_ = 0;
  doca_mmap* map_ = nullptr;
};

/// All memory that engines may be given tasks in: the slots, in which at least one side of a task lies, and
/// the engines' staging memories, which come and go.
class BluefieldReach {
 public:
  explicit BluefieldReach(const BluefieldMemory& slots) : slots_(slots) {}

  /// Main thread. `row` < kSessionsMax; null takes it away, which REQUIRES that no task is in it.
  void set_staging(size_t row, const BluefieldMemory* memory) {
    staging_[row].store(memory, std::memory_order_release);
  }
  // Any thread.
  const BluefieldMemory& slots() const { return slots_; }
  /// Null when the device was not told of this memory.
  const BluefieldMemory* find(const std::byte* from, size_t bytes) const {
    if (slots_.contains(from, bytes)) return &slots_;
    for (const auto& row : staging_) {
      const BluefieldMemory* memory = row.load(std::memory_order_acquire);
      if (memory != nullptr && memory->contains(from, bytes)) return memory;
    }
    return nullptr;
  }

 private:
  const BluefieldMemory& slots_;
  std::array<std::atomic<const BluefieldMemory*>, kSessionsMax> staging_{};
};

}  // namespace shadowserve
