// A trial's pages and staging on the GPU with a mover between them, and an engine's stream that can be held.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "gpu/device_image.h"
#include "gpu/test_staging.h"
#include "kernels/paged_mover.h"
#include "kernels/paged_runs.h"
#include "kernels/paged_trial.h"

namespace shadowserve {

/// Plays the engine: from hold() on, nothing that is put on the stream runs before release().
class HeldStream {
 public:
  HeldStream() { EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess); }
  ~HeldStream() {
    release();
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
  }
  HeldStream(const HeldStream&) = delete;
  HeldStream& operator=(const HeldStream&) = delete;

  void hold() {
    const auto wait = [](void* open) {
      // Not for ever: whoever waits for the stream by mistake shall fail, not hang.
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
      while (!static_cast<std::atomic<bool>*>(open)->load() && std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    };
    ASSERT_EQ(cudaLaunchHostFunc(stream_, wait, &open_), cudaSuccess);
  }
  void write(const DeviceMemory& memory, int byte) {
    ASSERT_EQ(cudaMemsetAsync(memory.data(), byte, memory.size(), stream_), cudaSuccess);
  }
  void release() { open_ = true; }
  void finish() { EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess); }
  std::shared_ptr<const StreamFence> fence() {
    auto fence = StreamFence::record(0, stream_);
    EXPECT_TRUE(fence);
    return fence ? *fence : nullptr;
  }
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
  std::atomic<bool> open_ = false;
};

class MoverOnGpu : public testing::TestWithParam<PagedWay> {
 protected:
  void SetUp() override {
    if (gpu_count() == 0) GTEST_SKIP() << "there is no GPU here: nothing of this was tested";
    take({.name = "three chunks"});
    // What CUDA loads for its own memset, it shall load before a stream is held.
    const DeviceMemory any = on_device(host_->pages);
    EXPECT_EQ(cudaMemset(any.data(), 0, any.size()), cudaSuccess);
  }

  /// False for layouts whose pages the parameter's way does not take.
  static bool fits(const PagedTrial& trial) {
    return GetParam() == PagedWay::kKernel || PagedRuns::fit(paged_layout(trial, 5));
  }
  /// Instead of the trial before.
  void take(const PagedTrial& trial) {
    host_.emplace(trial);
    pages_ = on_device(host_->pages);
    staging_ = TestStaging::of(host_->staging, GetParam());
    PagedMover::Memory memory;
    memory.layout = host_->move(bases_).layout;
    for (uint64_t offset : host_->layer_offset) memory.layer_base.push_back(pages_.data() + offset);
    memory.chunk_tokens = trial.chunk_tokens;
    blocks_ = memory.chunk_blocks();
    chunk_tokens_ = trial.chunk_tokens;
    auto mover = PagedMover::create(memory, GetParam());
    ASSERT_TRUE(mover);
    mover_ = std::move(*mover);
  }

  size_t part_count() const { return host_->parts.size(); }
  uint32_t chunk_of(size_t index) const { return host_->parts[index].token_first / chunk_tokens_; }
  PagedPart part(size_t index, PagedDirection direction = PagedDirection::kScatter) const {
    const StagedPart& staged = host_->parts[index];
    const auto ids = std::span(host_->block_table).subspan(size_t{chunk_of(index)} * blocks_, blocks_);
    return {index, direction, staged.offset_bytes, staged.plane_first, staged.plane_count, ids};
  }
  bool add(const PagedPart& part, std::shared_ptr<const StreamFence> after = nullptr) {
    return mover_->add(part, staging_.span(), std::move(after));
  }
  void add_all(PagedDirection direction, const std::shared_ptr<const StreamFence>& after = nullptr) {
    for (size_t i = 0; i < part_count(); ++i) ASSERT_TRUE(add(part(i, direction), after));
    mover_->flush();
  }

  /// All completions of what is under way, some at a time; fewer when they take longer than 10 s.
  std::vector<PagedDone> wait_for(size_t count) {
    std::vector<PagedDone> all;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (all.size() < count && std::chrono::steady_clock::now() < end) {
      PagedDone some[7];
      const size_t got = mover_->poll(some);
      all.insert(all.end(), some, some + got);
    }
    return all;
  }
  /// `count` tickets from 0 on, each once and well.
  void expect_all_well(size_t count) {
    std::vector<int> seen(count);
    for (const PagedDone& done : wait_for(count)) {
      EXPECT_EQ(done.error, Error::kNone);
      ASSERT_LT(done.ticket, count);
      ++seen[done.ticket];
    }
    EXPECT_TRUE(seen == std::vector<int>(count, 1));
    EXPECT_EQ(mover_->under_way(), 0u);
  }
  void expect_nothing_for(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    PagedDone some[7];
    while (std::chrono::steady_clock::now() < end) ASSERT_EQ(mover_->poll(some), 0u);
  }

  std::optional<PagedTrialMemory> host_;
  std::vector<std::byte*> bases_;  // of host_'s pages
  DeviceMemory pages_;
  TestStaging staging_;
  std::unique_ptr<PagedMover> mover_;  // before the memory it writes goes
  uint32_t blocks_ = 0;
  uint32_t chunk_tokens_ = 0;
};

}  // namespace shadowserve
