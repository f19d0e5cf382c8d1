// The data plane's copies to a GPU: all of them complete, those that the driver refuses too.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "cuda_double.h"
#include "gpu/device_image.h"
#include "kernels/cuda_copy_engine.h"

namespace shadowserve {
namespace {

constexpr size_t kBytes = 1024;

class CopiesToGpu : public testing::Test {
 protected:
  CopiesToGpu() : slots_(CudaCopyEngine::kDepth * kBytes) {
    cuda_double::reset();
    for (size_t i = 0; i < slots_.size(); ++i) slots_[i] = static_cast<std::byte>(i * 7 + i / kBytes);
    registered_ = std::move(RegisteredMemory::create(slots_).value());
    gpu_ = on_device(std::vector<std::byte>(slots_.size()));
    engine_ = std::move(CudaCopyEngine::create(0, registered_).value());
  }
  CopyTask task(size_t index) const {
    return {gpu_.data() + index * kBytes, slots_.data() + index * kBytes, kBytes, index};
  }
  std::vector<CopyDone> wait_for(size_t count) {
    std::vector<CopyDone> all;
    while (all.size() < count) {
      CopyDone some[5];
      const size_t got = engine_->poll(some);
      all.insert(all.end(), some, some + got);
    }
    return all;
  }

  std::vector<std::byte> slots_;
  RegisteredMemory registered_;
  DeviceMemory gpu_;
  std::unique_ptr<CudaCopyEngine> engine_;
};

TEST_F(CopiesToGpu, AreTakenUntilItIsFull) {
  for (size_t i = 0; i < CudaCopyEngine::kDepth; ++i) ASSERT_TRUE(engine_->submit(task(i)));
  EXPECT_EQ(engine_->submit(task(0)).error(), Error::kNoCapacity);
  for (const CopyDone& done : wait_for(CudaCopyEngine::kDepth)) EXPECT_EQ(done.error, Error::kNone);
  EXPECT_TRUE(from_device(gpu_) == slots_);
  EXPECT_EQ(cuda_double::noticed().pageable, 0u);
}

TEST_F(CopiesToGpu, ThatAreRefusedCompleteWithAnError) {
  cuda_double::refuse_copies(2);
  for (size_t i = 0; i < 5; ++i) ASSERT_TRUE(engine_->submit(task(i)));
  for (const CopyDone& done : wait_for(5))
    EXPECT_EQ(done.error, done.ticket < 2 ? Error::kSystem : Error::kNone) << done.ticket;
  const std::vector<std::byte> arrived = from_device(gpu_);
  EXPECT_FALSE(std::equal(arrived.begin(), arrived.begin() + kBytes, slots_.begin()));
  EXPECT_TRUE(
      std::equal(arrived.begin() + 2 * kBytes, arrived.begin() + 5 * kBytes, slots_.begin() + 2 * kBytes));
}

}  // namespace
}  // namespace shadowserve
