// The mover without a GPU: it says so, and what is wrong is said before a device is asked for.
#include "kernels/paged_mover.h"

#include <gtest/gtest.h>

#include "kernels/device_memory.h"
#include "kernels/paged_trial.h"

namespace shadowserve {
namespace {

// Host addresses: nothing is ever moved here.
PagedMover::Memory some_memory() {
  static PagedTrialMemory host{PagedTrial{}};
  PagedMover::Memory memory;
  memory.layout = host.move(memory.layer_base).layout;
  memory.chunk_tokens = PagedTrial{}.chunk_tokens;
  return memory;
}

Error refusal(PagedMover::Memory memory) {
  const auto mover = PagedMover::create(std::move(memory));
  return mover ? Error::kNone : mover.error();
}

TEST(PagedMover, WithoutAGpuItSaysSo) {
  if (gpu_count() > 0) GTEST_SKIP() << "this machine has a GPU";
  ASSERT_TRUE(check_paged_memory(some_memory()));
  const Error error = refusal(some_memory());
  EXPECT_TRUE(error == Error::kConfig || error == Error::kUnsupported) << error_name(error);
  const auto fence = StreamFence::record(0, nullptr);
  ASSERT_FALSE(fence);
  EXPECT_TRUE(fence.error() == Error::kSystem || fence.error() == Error::kUnsupported);
}

TEST(PagedMover, WrongMemoryMakesNone) {
  PagedMover::Memory memory = some_memory();
  memory.layer_base.pop_back();
  EXPECT_NE(refusal(memory), Error::kNone);
  memory = some_memory();
  memory.device = -1;
  EXPECT_NE(refusal(memory), Error::kNone);
  memory.device = gpu_count();
  EXPECT_NE(refusal(memory), Error::kNone);
}

}  // namespace
}  // namespace shadowserve
