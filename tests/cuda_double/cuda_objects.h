// Streams and events of the double.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "cuda_runtime_api.h"

/// Without locks: whoever asks in a loop would keep the stream from saying anything.
struct CudaDoubleEvent {
  std::atomic<uint64_t> recorded = 0;  ///< calls of record
  std::atomic<uint64_t> passed = 0;    ///< the last of them that its stream has reached

  void pass(uint64_t number) {
    uint64_t before = passed.load();
    while (before < number && !passed.compare_exchange_weak(before, number)) {
    }
    passed.notify_all();
  }
  void wait_for(uint64_t number) const {
    for (uint64_t now = passed.load(); now < number; now = passed.load()) passed.wait(now);
  }
};

/// A queue of fixed length, so that nothing is taken from the heap between start and end, and the thread that
/// empties it.
struct CudaDoubleStream {
  static constexpr size_t kDepth = 16384;
  static constexpr size_t kWorkBytes = 256;
  struct Work {
    void (*run)(void*) = nullptr;
    alignas(16) std::byte what[kWorkBytes];
    const void *reads = nullptr, *writes = nullptr;
    size_t bytes = 0;
  };

  CudaDoubleStream();
  ~CudaDoubleStream();  ///< after everything on it
  CudaDoubleStream(const CudaDoubleStream&) = delete;
  CudaDoubleStream& operator=(const CudaDoubleStream&) = delete;

  /// `what` is called behind everything before; the addresses say what memory it touches.
  template <typename What>
  void put(const What& what, const void* reads = nullptr, const void* writes = nullptr, size_t bytes = 0) {
    static_assert(std::is_trivially_copyable_v<What> && sizeof(What) <= kWorkBytes);
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return count_ < kDepth; });
    Work& work = queue_[(first_ + count_++) % kDepth];
    std::memcpy(work.what, &what, sizeof what);
    work.run = [](void* stored) { (*static_cast<What*>(stored))(); };
    work.reads = reads;
    work.writes = writes;
    work.bytes = bytes;
    work_.notify_one();
  }
  void finish();
  bool touches(const void* memory, size_t bytes);

  bool capturing = false;

 private:
  void empty_queue();

  std::mutex mutex_;
  std::condition_variable work_, room_;
  std::vector<Work> queue_{kDepth};
  size_t first_ = 0, count_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

namespace shadowserve::cuda_double {

/// Remembers `error` for cudaGetLastError().
cudaError_t told(cudaError_t error);
/// Something that a capture in CUDA's strict mode does not allow on this thread.
void not_while_capturing();
/// Whether any stream is still to touch this memory.
bool any_stream_touches(const void* memory, size_t bytes);
void finish_all_streams();

}  // namespace shadowserve::cuda_double
