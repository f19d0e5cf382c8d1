// Moves between canonical values in GPU staging memory and an engine's paged KV cache, all layers in one
// launch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "contract/result.h"

namespace shadowserve {

/// Where the elements of one layer lie, counted in elements from the layer's base:
///
///   kind * plane_stride + block * block_stride + slot * token_stride + head * head_stride + dim
///
/// with kind 0 for K and 1 for V, slot < block_tokens and dim < head_dim; dims of a head are neighbours. So
/// one descriptor says all of these (H heads, D dims, N tokens a block, B blocks):
///
///                                plane_stride  block_stride  token_stride  head_stride
///   [2][B][N][H][D]              B*N*H*D       N*H*D         H*D           D
///   [B][2][N][H][D]              N*H*D         2*N*H*D       H*D           D
///   [2][B][H][N][D]              B*H*N*D       H*N*D         D             N*D
///   [B][2][H][N][D]              H*N*D         2*H*N*D       D             N*D
///   [B][N][H][K D, V D]          D             N*H*2*D       H*2*D         2*D
///   [B][N][D], one plane (MLA)   0             N*D           D             0
///
/// Strides are whatever the engine's tensors have: padding between any two of these is fine.
struct PagedLayout {
  uint32_t layers = 0;
  uint32_t planes_per_layer = 2;  ///< 2: K and V; 1: one latent plane (MLA)
  uint32_t heads = 0;
  uint32_t head_dim = 0;
  uint32_t element_bytes = 2;  ///< 2 (bf16, fp16) or 1 (fp8)
  uint32_t block_tokens = 0;
  uint32_t blocks = 0;
  uint64_t plane_stride = 0;
  uint64_t block_stride = 0;
  uint64_t token_stride = 0;
  uint64_t head_stride = 0;

  uint32_t planes() const { return layers * planes_per_layer; }
  /// One token of one plane in the canonical layout, [head][dim].
  uint64_t row_bytes() const { return uint64_t{heads} * head_dim * element_bytes; }
  uint64_t element(uint32_t kind, uint32_t block, uint32_t slot, uint32_t head, uint32_t dim) const {
    return kind * plane_stride + block * block_stride + slot * token_stride + head * head_stride + dim;
  }
  /// From a layer's base to the end of its last element: what the engine's tensor must at least have.
  uint64_t layer_bytes() const {
    return (element(planes_per_layer - 1, blocks - 1, block_tokens - 1, heads - 1, head_dim - 1) + 1) *
           element_bytes;
  }
};

/// One part of a chunk as it lies in staging memory: plane_count planes, [plane][token of the
/// chunk][head][dim]. Planes are numbered layer * planes_per_layer + kind, as PartShape numbers them.
struct StagedPart {
  uint64_t offset_bytes = 0;  ///< from the start of the staging memory
  uint32_t token_first = 0;   ///< the chunk's first token, counted like the block table's
  uint32_t plane_first = 0;
  uint32_t plane_count = 0;
};

/// One request, or as much of it as has come. Only tokens [token_begin, token_end) are read or written, on
/// both sides; they may begin and end inside a chunk and inside a block. The three tables and `staging` lie
/// in device memory for the kernels, and in host memory for check_paged_move() and the twins (the checks read
/// the tables only: their layer bases and staging may be device addresses).
struct PagedMove {
  PagedLayout layout;
  std::byte* const* layer_base = nullptr;  ///< [layers]
  const int32_t* block_table = nullptr;    ///< token i is in block block_table[i / block_tokens]
  uint32_t block_table_size = 0;
  const StagedPart* parts = nullptr;
  uint32_t part_count = 0;
  uint32_t part_planes_max = 0;  ///< no part has more planes
  uint32_t chunk_tokens = 0;
  std::byte* staging = nullptr;
  uint64_t staging_bytes = 0;
  uint32_t token_begin = 0;
  uint32_t token_end = 0;

  uint64_t plane_bytes() const { return chunk_tokens * layout.row_bytes(); }
};

/// kConfig for anything that the kernels, which check nothing, would stumble over: a part outside staging or
/// of unknown planes, tokens beyond the block table, a block that does not exist, a layer without memory.
/// `move` has host tables. Cheap: call it before the tables are uploaded.
Result<void> check_paged_move(const PagedMove& move);

/// The definition: plain loops over host memory. REQUIRES check_paged_move().
void scatter_paged_twin(const PagedMove& move);  ///< staging -> pages
void gather_paged_twin(const PagedMove& move);   ///< pages -> staging

/// Starts one kernel on `stream` (a cudaStream_t; null is the default stream) of the current device, and does
/// not wait for it: tables, staging and pages stay as they are until the stream has passed it. At most
/// `thread_blocks_max` thread blocks of 256 threads run (0: as many as there is work for); few of them leave
/// the GPU to the engine's own kernels and take longer. REQUIRES check_paged_move() of the same tables.
/// Errors: kSystem = the launch failed, kUnsupported = built without CUDA. Any thread; never blocks.
Result<void> scatter_paged(const PagedMove& move, void* stream, uint32_t thread_blocks_max = 0);
Result<void> gather_paged(const PagedMove& move, void* stream, uint32_t thread_blocks_max = 0);

/// Brings the kernels to the current device now. Otherwise their first launch does, and may wait for all that
/// runs there. Errors: kSystem, kUnsupported. Blocks.
Result<void> load_paged_kernels();

}  // namespace shadowserve
