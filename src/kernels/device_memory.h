// GPU memory that two processes share, host memory that the GPU may reach, and whether there is a GPU at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "contract/result.h"

namespace shadowserve {

/// CUDA devices that this process can use; 0 without a GPU, without a driver, or when built without CUDA.
int gpu_count();

/// What an owner of device memory sends to the process that shall write it: plain bytes, valid on this host
/// for as long as the owner keeps the memory. Hostile bytes are fine: open() refuses them.
struct DeviceMemoryHandle {
  std::byte opaque[64] = {};
  uint64_t bytes = 0;
  int32_t device = 0;  ///< the owner's number; both processes must see the same devices
  uint32_t reserved = 0;
};

/// One allocation on a GPU, ours or another process's. Move only. All calls may block for milliseconds and
/// are for start and end, not for data-plane threads at work. Errors: kSystem = the driver refused,
/// kUnsupported = built without CUDA.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  static Result<DeviceMemory> allocate(int device, size_t bytes);
  /// Memory of another process. kConfig when the handle names a device that is not there, or more bytes than
  /// the owner's allocation has. A process cannot open its own.
  static Result<DeviceMemory> open(const DeviceMemoryHandle& handle);
  /// For open() in another process. REQUIRES allocate(). The owner frees the memory only when the others have
  /// closed it (CUDA promises nothing otherwise). When the owner's process ends, however it does, the others'
  /// mappings stay valid until they close them, and nobody reads what they write.
  Result<DeviceMemoryHandle> handle() const;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  int device() const { return device_; }

 private:
  void release();
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  int device_ = 0;
  bool opened_ = false;
};

/// Host memory made known to the GPU driver, so that copies from and to it run without this core. Move only;
/// the memory outlives it, and no two of these overlap.
class RegisteredMemory {
 public:
  RegisteredMemory() = default;
  RegisteredMemory(RegisteredMemory&& other) noexcept;
  RegisteredMemory& operator=(RegisteredMemory&& other) noexcept;
  ~RegisteredMemory();

  /// For every device of this process; `device` is one that it uses anyway. Mapped memfds are fine. Blocks
  /// (64 MiB: some milliseconds). Errors: kConfig, kSystem, kUnsupported.
  static Result<RegisteredMemory> create(std::span<std::byte> memory, int device = 0);

  std::span<std::byte> span() const { return memory_; }
  bool contains(const std::byte* from, size_t bytes) const {
    const auto start = reinterpret_cast<uintptr_t>(memory_.data());
    const auto at = reinterpret_cast<uintptr_t>(from);
    return at >= start && bytes <= memory_.size() && at - start <= memory_.size() - bytes;
  }

 private:
  void release();
  std::span<std::byte> memory_;
  int device_ = 0;
};

}  // namespace shadowserve
