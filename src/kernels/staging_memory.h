// The memory of one connection that values cross: the data plane writes it, a page mover reads it, or the
// other way round.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "contract/result.h"
#include "kernels/device_memory.h"
#include "memory/shared_region.h"

namespace shadowserve {

/// Where it has to be.
struct StagingPlace {
  int device = -1;      ///< GPU with the engine's pages; -1: they are in host memory
  bool on_gpu = false;  ///< as they are; else in host memory, registered with the GPU if there is one
};

/// Shared by the link and the moves that are under way in it: freed when the last of them lets go.
class StagingMemory {
 public:
  /// nullptr: there is none, or the driver refused it. Takes tens of ms for 256 MiB.
  static std::shared_ptr<const StagingMemory> take(StagingPlace place, size_t bytes);
  StagingMemory(const StagingMemory&) = delete;
  StagingMemory& operator=(const StagingMemory&) = delete;

  /// GPU memory in a place on a GPU.
  std::span<std::byte> span() const { return region_ ? region_.span() : std::span(gpu_.data(), gpu_.size()); }
  /// For the data plane: one of the two.
  const SharedRegion* region() const { return region_ ? &region_ : nullptr; }
  Result<DeviceMemoryHandle> handle() const { return gpu_.handle(); }

 private:
  explicit StagingMemory(StagingPlace place) : place_(place) {}
  bool take_on_gpu(size_t bytes);
  bool take_on_host(size_t bytes);

  const StagingPlace place_;
  SharedRegion region_;
  RegisteredMemory registered_;  // goes before the region
  DeviceMemory gpu_;
};

}  // namespace shadowserve
