// Host images to GPU memory and back.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "kernels/device_memory.h"

namespace shadowserve {

template <typename T>
DeviceMemory on_device(const std::vector<T>& values) {
  auto memory = DeviceMemory::allocate(0, values.size() * sizeof(T));
  EXPECT_TRUE(memory);
  if (!memory) return {};
  EXPECT_EQ(cudaMemcpy(memory->data(), values.data(), memory->size(), cudaMemcpyHostToDevice), cudaSuccess);
  // The call may return earlier than the bytes arrive, and streams that do not block would not wait for them.
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  return std::move(*memory);
}

inline std::vector<std::byte> from_device(const DeviceMemory& memory) {
  std::vector<std::byte> out(memory.size());
  EXPECT_EQ(cudaMemcpy(out.data(), memory.data(), memory.size(), cudaMemcpyDeviceToHost), cudaSuccess);
  return out;
}

}  // namespace shadowserve
