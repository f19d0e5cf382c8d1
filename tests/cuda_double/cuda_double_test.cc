// What the double notices: without these no test that asks it proves anything.
#include "cuda_double.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <vector>

#include "gpu/mover_on_gpu.h"

namespace shadowserve {
namespace {

class CudaDouble : public testing::Test {
 protected:
  CudaDouble() { cuda_double::reset(); }
  cuda_double::Noticed& noticed_ = cuda_double::noticed();
  std::vector<std::byte> host_{4096};
};

TEST_F(CudaDouble, NoticesMemoryThatIsNotPinned) {
  HeldStream stream;
  const DeviceMemory gpu = on_device(host_);
  const auto copy = [&] {
    return cudaMemcpyAsync(gpu.data(), host_.data(), host_.size(), cudaMemcpyHostToDevice, stream.get());
  };
  ASSERT_EQ(copy(), cudaSuccess);
  EXPECT_EQ(noticed_.pageable, 1u);
  const auto registered = RegisteredMemory::create(host_);
  ASSERT_TRUE(registered);
  ASSERT_EQ(copy(), cudaSuccess);
  EXPECT_EQ(noticed_.pageable, 1u);
  stream.finish();
}

TEST_F(CudaDouble, NoticesMemoryThatGoesUnderACopy) {
  HeldStream stream;
  const DeviceMemory gpu = on_device(host_);
  auto registered = RegisteredMemory::create(host_);
  ASSERT_TRUE(registered);
  stream.hold();
  ASSERT_EQ(cudaMemcpyAsync(gpu.data(), host_.data(), host_.size(), cudaMemcpyHostToDevice, stream.get()),
            cudaSuccess);
  registered = RegisteredMemory();
  EXPECT_EQ(noticed_.under_way, 1u);
  stream.release();
  stream.finish();
}

TEST_F(CudaDouble, RefusesAsManyCopiesAsItShould) {
  HeldStream stream;
  const DeviceMemory gpu = on_device(host_);
  cuda_double::refuse_copies(1);
  EXPECT_NE(cudaMemcpyAsync(gpu.data(), gpu.data(), 16, cudaMemcpyDefault, stream.get()), cudaSuccess);
  EXPECT_NE(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(gpu.data(), gpu.data(), 16, cudaMemcpyDefault, stream.get()), cudaSuccess);
  stream.finish();
}

}  // namespace
}  // namespace shadowserve
