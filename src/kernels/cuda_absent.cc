// Stands in for everything of CUDA in a build without it: there is no GPU, and whoever asks for one is told
// so.
#include "contract/check.h"
#include "kernels/cuda_copy_engine.h"
#include "kernels/device_memory.h"
#include "kernels/paged_move.h"
#include "kernels/paged_mover.h"

namespace shadowserve {

int gpu_count() { return 0; }

// Nothing below can hold anything: what would make one always fails.
DeviceMemory::DeviceMemory(DeviceMemory&&) noexcept {}
DeviceMemory& DeviceMemory::operator=(DeviceMemory&&) noexcept { return *this; }
DeviceMemory::~DeviceMemory() = default;
Result<DeviceMemory> DeviceMemory::allocate(int, size_t) { return fail(Error::kUnsupported); }
Result<DeviceMemory> DeviceMemory::open(const DeviceMemoryHandle&) { return fail(Error::kUnsupported); }
Result<DeviceMemoryHandle> DeviceMemory::handle() const { return fail(Error::kUnsupported); }

RegisteredMemory::RegisteredMemory(RegisteredMemory&&) noexcept {}
RegisteredMemory& RegisteredMemory::operator=(RegisteredMemory&&) noexcept { return *this; }
RegisteredMemory::~RegisteredMemory() = default;
Result<RegisteredMemory> RegisteredMemory::create(std::span<std::byte>, int) {
  return fail(Error::kUnsupported);
}

Result<std::unique_ptr<CudaCopyEngine>> CudaCopyEngine::create(int, const RegisteredMemory&) {
  return fail(Error::kUnsupported);
}
CudaCopyEngine::~CudaCopyEngine() = default;
Result<void> CudaCopyEngine::submit(const CopyTask&) { return fail(Error::kUnsupported); }
size_t CudaCopyEngine::poll(std::span<CopyDone>) { return 0; }

Result<void> scatter_paged(const PagedMove&, void*, uint32_t) { return fail(Error::kUnsupported); }
Result<void> gather_paged(const PagedMove&, void*, uint32_t) { return fail(Error::kUnsupported); }
Result<void> load_paged_kernels() { return fail(Error::kUnsupported); }

Result<std::shared_ptr<const StreamFence>> StreamFence::record(int, void*) {
  return fail(Error::kUnsupported);
}
StreamFence::~StreamFence() = default;

Result<std::unique_ptr<PagedMover>> PagedMover::create(Memory, PagedWay) { return fail(Error::kUnsupported); }
PagedMover::~PagedMover() = default;
bool PagedMover::add(const PagedPart&, std::span<std::byte>, std::shared_ptr<const StreamFence>,
                     std::shared_ptr<const void>) {
  return false;
}
void PagedMover::flush() {}
size_t PagedMover::poll(std::span<PagedDone>) { return 0; }

}  // namespace shadowserve
