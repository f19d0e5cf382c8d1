// Uploads a batch's tables and launches the kernel that reads them.
#include "kernels/paged_kernels.h"

#include <cuda_runtime_api.h>

#include <utility>

namespace shadowserve {
namespace {

// Tables start where the GPU likes memory to start.
size_t pitch(size_t bytes) { return (bytes + 255) / 256 * 256; }

size_t bases_bytes(const PagedMemory& memory) { return memory.layer_base.size() * sizeof(std::byte*); }

}  // namespace

PagedKernels::PagedKernels(const PagedMemory& memory, DeviceMemory tables)
    : tables_(std::move(tables)),
      bases_pitch_(pitch(bases_bytes(memory))),
      tables_pitch_(pitch(PagedBatch::tables_bytes(memory))) {}

std::unique_ptr<PagedKernels> PagedKernels::create(const PagedMemory& memory, uint32_t batches,
                                                   void* stream) {
  const size_t bytes = pitch(bases_bytes(memory)) + batches * pitch(PagedBatch::tables_bytes(memory));
  auto tables = DeviceMemory::allocate(memory.device, bytes);
  if (!tables) return nullptr;
  // Not by cudaMemcpy(): on the default stream it would wait for the engine's kernels.
  const auto queue = static_cast<cudaStream_t>(stream);
  if (cudaMemcpyAsync(tables->data(), memory.layer_base.data(), bases_bytes(memory), cudaMemcpyHostToDevice,
                      queue) != cudaSuccess ||
      cudaStreamSynchronize(queue) != cudaSuccess)
    return nullptr;
  // Loaded by their first launch, the kernels would make it wait for whatever the engine has under way.
  if (!load_paged_kernels()) return nullptr;
  return std::unique_ptr<PagedKernels>(new PagedKernels(memory, std::move(*tables)));
}

bool PagedKernels::launch(uint32_t index, const PagedBatch& batch, PagedDirection direction, void* stream) {
  if (cudaMemcpyAsync(tables_of(index), batch.tables().data(), batch.tables_used(), cudaMemcpyHostToDevice,
                      static_cast<cudaStream_t>(stream)) != cudaSuccess)
    return false;
  const auto* layer_base = reinterpret_cast<std::byte* const*>(tables_.data());
  const PagedMove move = batch.move_with(tables_of(index), layer_base);
  const auto launched = direction == PagedDirection::kScatter ? scatter_paged(move, stream, kThreadBlocks)
                                                              : gather_paged(move, stream, kThreadBlocks);
  return launched.has_value();
}

}  // namespace shadowserve
