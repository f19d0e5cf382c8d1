// A part is one call: the driver takes as long for a call as the GPU for several pages.
#include "kernels/paged_copies.h"

#include <cuda_runtime_api.h>

#include <span>

namespace shadowserve {
namespace {

using Places = std::span<std::byte* const>;

bool copy_all(Places to, Places from, std::span<const size_t> bytes, cudaStream_t stream) {
  cudaMemcpyAttributes attributes{};
  attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  size_t of_first = 0;
#if CUDART_VERSION >= 13000
  return cudaMemcpyBatchAsync(reinterpret_cast<void* const*>(to.data()),
                              reinterpret_cast<const void* const*>(from.data()), bytes.data(), bytes.size(),
                              &attributes, &of_first, 1, stream) == cudaSuccess;
#else
  // CUDA 12.8 has it with pointers to what it does not write, and says which copy it did not like.
  size_t failed = 0;
  return cudaMemcpyBatchAsync(const_cast<void**>(reinterpret_cast<void* const*>(to.data())),
                              const_cast<void**>(reinterpret_cast<void* const*>(from.data())),
                              const_cast<size_t*>(bytes.data()), bytes.size(), &attributes, &of_first, 1,
                              &failed, stream) == cudaSuccess;
#endif
}

}  // namespace

bool PagedCopies::launch(uint32_t, const PagedBatch& batch, PagedDirection direction, void* stream) {
  const PagedMove move = batch.move();
  const bool scatter = direction == PagedDirection::kScatter;
  for (const StagedPart& part : std::span(move.parts, move.part_count)) {
    runs_.list(move, part);
    if (runs_.size() == 0) continue;
    if (!copy_all(scatter ? runs_.pages() : runs_.staging(), scatter ? runs_.staging() : runs_.pages(),
                  runs_.bytes(), static_cast<cudaStream_t>(stream)))
      return false;
  }
  return true;
}

}  // namespace shadowserve
