// CUDA's allocations, IPC handles and registrations behind our own types.
#include "kernels/device_memory.h"

#include <cuda_runtime_api.h>

#include <cstring>
#include <utility>

#include "kernels/current_device.h"

namespace shadowserve {
namespace {

static_assert(sizeof(cudaIpcMemHandle_t) == sizeof(DeviceMemoryHandle::opaque));

// The runtime remembers a failure until it is asked for; a later launch must not be blamed for it.
Failure refused(Error error = Error::kSystem) {
  cudaGetLastError();
  return fail(error);
}

// What the allocation really has from `data` on; 0 if the driver does not say. The owner's word is not
// enough: a copy past the end would be a fault of the device, and end this process's use of it. The runtime
// has no such call, and linking the driver's library would tie the program to machines that have one.
size_t allocation_bytes(void* data) {
  using AddressRange = int (*)(unsigned long long* base, size_t* bytes, unsigned long long pointer);
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found{};
  if (cudaGetDriverEntryPointByVersion("cuMemGetAddressRange", &entry, 12000, cudaEnableDefault, &found) !=
          cudaSuccess ||
      found != cudaDriverEntryPointSuccess)
    return 0;
  unsigned long long base = 0;
  size_t bytes = 0;
  const auto pointer = reinterpret_cast<unsigned long long>(data);
  if (reinterpret_cast<AddressRange>(entry)(&base, &bytes, pointer) != 0 || pointer < base) return 0;
  return bytes - (pointer - base);
}

bool device_exists(int device) { return device >= 0 && device < gpu_count(); }

}  // namespace

int gpu_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  if (this == &other) return *this;
  release();
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  device_ = other.device_;
  opened_ = other.opened_;
  return *this;
}

DeviceMemory::~DeviceMemory() { release(); }

void DeviceMemory::release() {
  if (data_ == nullptr) return;
  cudaSetDevice(device_);
  if (opened_) {
    cudaIpcCloseMemHandle(data_);
  } else {
    cudaFree(data_);
  }
  cudaGetLastError();
  data_ = nullptr;
  size_ = 0;
}

Result<DeviceMemory> DeviceMemory::allocate(int device, size_t bytes) {
  if (!device_exists(device)) return fail(Error::kConfig);
  void* data = nullptr;
  if (cudaSetDevice(device) != cudaSuccess || cudaMalloc(&data, bytes) != cudaSuccess) return refused();
  DeviceMemory memory;
  memory.data_ = static_cast<std::byte*>(data);
  memory.size_ = bytes;
  memory.device_ = device;
  return memory;
}

Result<DeviceMemory> DeviceMemory::open(const DeviceMemoryHandle& handle) {
  if (!device_exists(handle.device) || handle.bytes == 0) return fail(Error::kConfig);
  cudaIpcMemHandle_t opaque;
  std::memcpy(&opaque, handle.opaque, sizeof(opaque));
  void* data = nullptr;
  if (cudaSetDevice(handle.device) != cudaSuccess ||
      cudaIpcOpenMemHandle(&data, opaque, cudaIpcMemLazyEnablePeerAccess) != cudaSuccess)
    return refused();
  DeviceMemory memory;
  memory.data_ = static_cast<std::byte*>(data);
  memory.size_ = handle.bytes;
  memory.device_ = handle.device;
  memory.opened_ = true;
  if (allocation_bytes(data) < handle.bytes) return refused(Error::kConfig);
  return memory;
}

Result<DeviceMemoryHandle> DeviceMemory::handle() const {
  if (data_ == nullptr || opened_) return fail(Error::kConfig);
  cudaIpcMemHandle_t opaque;
  if (cudaSetDevice(device_) != cudaSuccess || cudaIpcGetMemHandle(&opaque, data_) != cudaSuccess)
    return refused();
  DeviceMemoryHandle handle;
  std::memcpy(handle.opaque, &opaque, sizeof(opaque));
  handle.bytes = size_;
  handle.device = device_;
  return handle;
}

RegisteredMemory::RegisteredMemory(RegisteredMemory&& other) noexcept { *this = std::move(other); }

RegisteredMemory& RegisteredMemory::operator=(RegisteredMemory&& other) noexcept {
  if (this == &other) return *this;
  release();
  memory_ = std::exchange(other.memory_, {});
  device_ = other.device_;
  return *this;
}

RegisteredMemory::~RegisteredMemory() { release(); }

void RegisteredMemory::release() {
  if (memory_.empty()) return;
  const CurrentDevice current(device_);
  cudaHostUnregister(memory_.data());
  cudaGetLastError();
  memory_ = {};
}

Result<RegisteredMemory> RegisteredMemory::create(std::span<std::byte> memory, int device) {
  if (memory.empty()) return fail(Error::kConfig);
  if (gpu_count() == 0) return fail(Error::kSystem);
  if (!device_exists(device)) return fail(Error::kConfig);
  const CurrentDevice current(device);  // else device 0 would become this process's as well
  if (!current.ok() ||
      cudaHostRegister(memory.data(), memory.size(), cudaHostRegisterPortable) != cudaSuccess)
    return refused();
  RegisteredMemory registered;
  registered.memory_ = memory;
  registered.device_ = device;
  return registered;
}

}  // namespace shadowserve
