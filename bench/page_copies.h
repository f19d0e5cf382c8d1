// Copies from slots straight into an engine's pages, with no staging memory and no kernel in between: what
// the data plane could do where a page of one layer's keys lies in one piece. Only measured here.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "contract/check.h"

namespace shadowserve {

/// Parts of `part_bytes`, each to pages of `page_bytes` anywhere in `pages`; one call of CUDA for a part, or
/// one for a page. One thread.
class PageCopies {
 public:
  static constexpr size_t kDepth = 64;
  /// cudaMemcpyBatchAsync() in this form came with CUDA 13.
  static constexpr bool kHasBatches = CUDART_VERSION >= 13000;

  PageCopies(std::span<std::byte> pages, size_t part_bytes, size_t page_bytes, bool in_batches)
      : page_bytes_(page_bytes), in_batches_(in_batches && kHasBatches), to_(part_bytes / page_bytes) {
    from_.resize(to_.size());
    sizes_.assign(to_.size(), page_bytes);
    for (size_t at = 0; at + page_bytes <= pages.size(); at += page_bytes)
      pages_.push_back(pages.data() + at);
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    for (cudaEvent_t& event : events_) check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  }
  ~PageCopies() {
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  PageCopies(const PageCopies&) = delete;
  PageCopies& operator=(const PageCopies&) = delete;

  /// Starts the copies of a part. There is room for kDepth.
  void submit(std::byte* slot) {
    SS_CHECK(count_ < kDepth, "no more parts than there is room for");
    for (size_t i = 0; i < to_.size(); ++i) {
      to_[i] = pages_[random_() % pages_.size()];
      from_[i] = slot + i * page_bytes_;
    }
    copy();
    check(cudaEventRecord(events_[(first_ + count_++) % kDepth], stream_));
  }

  /// Parts that have arrived since the last call.
  size_t poll() {
    size_t done = 0;
    for (; count_ > 0; ++done, --count_, first_ = (first_ + 1) % kDepth) {
      const cudaError_t state = cudaEventQuery(events_[first_]);
      if (state == cudaErrorNotReady) break;
      check(state);
    }
    return done;
  }

 private:
  static void check(cudaError_t error) { SS_CHECK(error == cudaSuccess, cudaGetErrorString(error)); }

  void copy() {
#if CUDART_VERSION >= 13000
    if (in_batches_) {
      cudaMemcpyAttributes attributes{};
      attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
      size_t of_first = 0;
      return check(cudaMemcpyBatchAsync(to_.data(), from_.data(), sizes_.data(), to_.size(), &attributes,
                                        &of_first, 1, stream_));
    }
#endif
    for (size_t i = 0; i < to_.size(); ++i)
      check(cudaMemcpyAsync(to_[i], from_[i], page_bytes_, cudaMemcpyHostToDevice, stream_));
  }

  size_t page_bytes_;
  bool in_batches_;
  std::vector<void*> to_;
  std::vector<const void*> from_;
  std::vector<size_t> sizes_;
  std::vector<std::byte*> pages_;
  std::mt19937 random_{1};
  cudaStream_t stream_ = nullptr;
  std::array<cudaEvent_t, kDepth> events_{};
  size_t first_ = 0, count_ = 0;
};

}  // namespace shadowserve
