// The paged kernels against their host twins, on every layout there is.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "gpu/device_image.h"
#include "kernels/device_memory.h"
#include "kernels/paged_trial.h"

namespace shadowserve {
namespace {

// Runs the kernel on copies of the trial's memory and the twin on the memory itself; everything must be equal
// afterwards, also what must not be touched.
void compare(const PagedTrial& trial, bool scatter, uint32_t thread_blocks_max) {
  PagedTrialMemory memory(trial);
  std::vector<std::byte*> bases;
  const PagedMove host = memory.move(bases);
  ASSERT_TRUE(check_paged_move(host));
  const DeviceMemory pages = on_device(memory.pages), staging = on_device(memory.staging);
  for (size_t layer = 0; layer < bases.size(); ++layer)
    bases[layer] = pages.data() + memory.layer_offset[layer];
  const DeviceMemory table = on_device(memory.block_table), parts = on_device(memory.parts),
                     layers = on_device(bases);
  PagedMove move = host;
  move.layer_base = reinterpret_cast<std::byte* const*>(layers.data());
  move.block_table = reinterpret_cast<const int32_t*>(table.data());
  move.parts = reinterpret_cast<const StagedPart*>(parts.data());
  move.staging = staging.data();
  ASSERT_TRUE(scatter ? scatter_paged(move, nullptr, thread_blocks_max)
                      : gather_paged(move, nullptr, thread_blocks_max));
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  const PagedMove twin = memory.move(bases);
  scatter ? scatter_paged_twin(twin) : gather_paged_twin(twin);
  EXPECT_TRUE(from_device(pages) == memory.pages);
  EXPECT_TRUE(from_device(staging) == memory.staging);
}

TEST(PagedKernels, DoWhatTheTwinsDo) {
  if (gpu_count() == 0) GTEST_SKIP() << "there is no GPU here: the kernels were not run";
  for (const PagedTrial& trial : paged_trials()) {
    for (bool scatter : {true, false}) {
      for (uint32_t thread_blocks_max : {0u, 3u}) {
        SCOPED_TRACE(trial.name + (scatter ? ", scatter, " : ", gather, ") +
                     std::to_string(thread_blocks_max));
        compare(trial, scatter, thread_blocks_max);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// A comparison that finds nothing wrong with a kernel that did nothing would be worth nothing.
TEST(PagedKernels, ComparisonNotices) {
  if (gpu_count() == 0) GTEST_SKIP() << "there is no GPU here: the kernels were not run";
  PagedTrialMemory memory{PagedTrial{}};
  const DeviceMemory pages = on_device(memory.pages);
  std::vector<std::byte*> bases;
  scatter_paged_twin(memory.move(bases));
  EXPECT_FALSE(from_device(pages) == memory.pages);
}

}  // namespace
}  // namespace shadowserve
