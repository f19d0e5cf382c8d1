// CUDA's batched copies, in the two forms that it has had.
#include "kernels/paged_copies.h"

#include <cuda_runtime_api.h>

#include <span>

namespace shadowserve {

bool copy_pieces(std::span<std::byte* const> to, std::span<std::byte* const> from,
                 std::span<const size_t> bytes, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  cudaMemcpyAttributes attributes{};
  attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  size_t of_first = 0;
#if CUDART_VERSION >= 13000
  return cudaMemcpyBatchAsync(reinterpret_cast<void* const*>(to.data()),
                              reinterpret_cast<const void* const*>(from.data()), bytes.data(), bytes.size(),
                              &attributes, &of_first, 1, on) == cudaSuccess;
#else
  // CUDA 12.8 has it with pointers to what it does not write, and says which copy it did not like.
  size_t failed = 0;
  return cudaMemcpyBatchAsync(const_cast<void**>(reinterpret_cast<void* const*>(to.data())),
                              const_cast<void**>(reinterpret_cast<void* const*>(from.data())),
                              const_cast<size_t*>(bytes.data()), bytes.size(), &attributes, &of_first, 1,
                              &failed, on) == cudaSuccess;
#endif
}

bool PagedCopies::launch(uint32_t, const PagedBatch& batch, PagedDirection direction, void* stream) {
  const PagedMove move = batch.move();
  const bool scatter = direction == PagedDirection::kScatter;
  for (const StagedPart& part : std::span(move.parts, move.part_count)) {
    runs_.list(move, part);
    if (runs_.size() == 0) continue;
    if (!copy_pieces(scatter ? runs_.pages() : runs_.staging(), scatter ? runs_.staging() : runs_.pages(),
                     runs_.bytes(), stream))
      return false;
  }
  return true;
}

}  // namespace shadowserve
