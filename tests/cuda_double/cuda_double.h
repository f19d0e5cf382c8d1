// What a test asks of the double, and what the double noticed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace shadowserve::cuda_double {

inline constexpr int kDevices = 2;

/// All since reset(). Counted by whatever thread calls CUDA.
struct Noticed {
  std::atomic<uint64_t> copies{0};    ///< asynchronous ones, each piece of a batch
  std::atomic<uint64_t> batches{0};   ///< calls of cudaMemcpyBatchAsync()
  std::atomic<uint64_t> kernels{0};   ///< scatters and gathers launched
  std::atomic<uint64_t> pageable{0};  ///< asynchronous copies from or to memory that CUDA does not know
  /// Memory given back, or unregistered, while something on a stream was still to read or write it. CUDA may
  /// wait there, and promises nothing.
  std::atomic<uint64_t> under_way{0};
};
Noticed& noticed();

/// So many of the next asynchronous copies, counted by calls, are refused.
void refuse_copies(uint32_t calls);

/// Between tests; REQUIRES that nothing is on any stream.
void reset();

}  // namespace shadowserve::cuda_double
