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
#include "kernels/paged_copies.h"

namespace shadowserve {

/// What CUDA is called for.
enum class PageCall : uint8_t {
  kPage,
  kPart,   ///< all of its pages in one batch
  kPairs,  ///< the same, but keys and values of a page, which are neighbours there, as two rows of one copy
};

/// Parts of `part_bytes`, half of them keys and half values, each to pages of `page_bytes` anywhere in
/// `pages`. One thread.
class PageCopies {
 public:
  static constexpr size_t kDepth = 64;
  /// cudaMemcpy3DBatchAsync() as it is called here came with CUDA 13.
  static constexpr bool kHasPairs = CUDART_VERSION >= 13000;

  PageCopies(std::span<std::byte> pages, size_t part_bytes, size_t page_bytes, PageCall call)
      : part_bytes_(part_bytes), page_bytes_(page_bytes), call_(call), to_(part_bytes / page_bytes) {
    from_.resize(to_.size());
    sizes_.assign(to_.size(), page_bytes);
    const size_t apart = call == PageCall::kPairs ? 2 * page_bytes : page_bytes;
    for (size_t at = 0; at + apart <= pages.size(); at += apart) pages_.push_back(pages.data() + at);
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
    if (call_ == PageCall::kPairs) {
      copy_pairs(slot);
    } else {
      for (size_t i = 0; i < to_.size(); ++i) {
        to_[i] = pages_[random_() % pages_.size()];
        from_[i] = slot + i * page_bytes_;
      }
      copy();
    }
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
    if (call_ == PageCall::kPart) {
      SS_CHECK(copy_pieces(to_, from_, sizes_, stream_), "the driver copies in batches");
      return;
    }
    for (size_t i = 0; i < to_.size(); ++i)
      check(cudaMemcpyAsync(to_[i], from_[i], page_bytes_, cudaMemcpyHostToDevice, stream_));
  }

  void copy_pairs([[maybe_unused]] std::byte* slot) {
#if CUDART_VERSION >= 13000
    pairs_.resize(to_.size() / 2);
    for (size_t i = 0; i < pairs_.size(); ++i) {
      cudaMemcpy3DBatchOp& pair = pairs_[i];
      pair = {};
      pair.src.type = pair.dst.type = cudaMemcpyOperandTypePointer;
      pair.src.op.ptr = {slot + i * page_bytes_, part_bytes_ / 2, 2, {}};  // values begin half a part on
      pair.dst.op.ptr = {pages_[random_() % pages_.size()], page_bytes_, 2, {}};
      pair.extent = {page_bytes_, 2, 1};
      pair.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
    }
    check(cudaMemcpy3DBatchAsync(pairs_.size(), pairs_.data(), 0, stream_));
#endif
  }

#if CUDART_VERSION >= 13000
  std::vector<cudaMemcpy3DBatchOp> pairs_;
#endif
  size_t part_bytes_;
  size_t page_bytes_;
  PageCall call_;
  std::vector<std::byte*> to_, from_;
  std::vector<size_t> sizes_;
  std::vector<std::byte*> pages_;
  std::mt19937 random_{1};
  cudaStream_t stream_ = nullptr;
  std::array<cudaEvent_t, kDepth> events_{};
  size_t first_ = 0, count_ = 0;
};

}  // namespace shadowserve
