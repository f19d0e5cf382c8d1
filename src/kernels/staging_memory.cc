// What is taken for each place, and how it is given back.
#include "kernels/staging_memory.h"

#include <utility>

namespace shadowserve {

std::shared_ptr<const StagingMemory> StagingMemory::take(StagingPlace place, size_t bytes) {
  std::shared_ptr<StagingMemory> staging(new StagingMemory(place));
  const bool taken = place.on_gpu ? staging->take_on_gpu(bytes) : staging->take_on_host(bytes);
  return taken ? staging : nullptr;
}

bool StagingMemory::take_on_gpu(size_t bytes) {
  auto memory = DeviceMemory::allocate(place_.device, bytes);
  if (memory) gpu_ = std::move(*memory);
  return memory.has_value();
}

bool StagingMemory::take_on_host(size_t bytes) {
  auto region = SharedRegion::create("shadowserve-staging", bytes);
  if (!region) return false;
  region_ = std::move(*region);
  if (place_.device < 0) return true;
  auto registered = RegisteredMemory::create(region_.span(), place_.device);
  if (registered) registered_ = std::move(*registered);
  return registered.has_value();
}

}  // namespace shadowserve
