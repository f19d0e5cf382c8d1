// The paged moves on the GPU: one kernel for both directions, every access as wide as all addresses allow.
#include <cuda_runtime.h>

#include <algorithm>

#include "kernels/paged_move.h"

namespace shadowserve {
namespace {

constexpr uint32_t kThreads = 256;
// Loads that a thread has under way before its first store: what hides the memory's latency.
constexpr uint32_t kInFlight = 4;
// Bytes of one plane that a thread block moves before it takes up its next item.
constexpr uint32_t kTileBytes = 32 * 1024;

// A PagedMove in bytes, with everything worked out that is the same for all items. Heads that lie together in
// the pages as they do in staging are one piece.
struct MoveBytes {
  std::byte* const* layer_base;
  const int32_t* block_table;
  const StagedPart* parts;
  std::byte* staging;
  uint64_t plane_stride, block_stride, token_stride, piece_stride;
  uint64_t row_bytes, plane_bytes;
  uint64_t stride_bits;  // all strides or-ed: their common alignment is the lowest bit set
  uint64_t items;
  uint32_t piece_bytes, block_tokens, planes_per_layer;
  uint32_t part_planes_max, chunk_tokens, tile_tokens, tiles;
  uint32_t token_begin, token_end;
};

struct Tile {
  std::byte* staged;  // row of token_first
  std::byte* paged;   // of the layer and kind
  uint32_t token_first, tokens;
};

// Threads stand in rows of one token each: a thread's column, and with it head and dim, stays the same.
template <typename T, bool kScatter>
__device__ void move_tile(const MoveBytes& move, const Tile& tile) {
  const uint32_t columns = move.row_bytes / sizeof(T);
  const uint32_t piece_columns = move.piece_bytes / sizeof(T);
  const uint32_t lanes = min(columns, kThreads);
  const uint32_t rows = kThreads / lanes;
  const uint32_t row = threadIdx.x / lanes;
  if (row >= rows) return;
  for (uint32_t column = threadIdx.x - row * lanes; column < columns; column += lanes) {
    const uint32_t piece = column / piece_columns;
    std::byte* paged = tile.paged + piece * move.piece_stride + (column - piece * piece_columns) * sizeof(T);
    std::byte* staged = tile.staged + column * sizeof(T);
    for (uint32_t first = row; first < tile.tokens; first += rows * kInFlight) {
      T value[kInFlight];
      T* to[kInFlight];
#pragma unroll
      for (uint32_t k = 0; k < kInFlight; ++k) {
        const uint32_t t = first + k * rows;
        to[k] = nullptr;
        if (t >= tile.tokens) continue;
        const uint32_t token = tile.token_first + t;
        const uint32_t entry = token / move.block_tokens;
        T* in_page = reinterpret_cast<T*>(paged + __ldg(move.block_table + entry) * move.block_stride +
                                          (token - entry * move.block_tokens) * move.token_stride);
        T* in_staging = reinterpret_cast<T*>(staged + t * move.row_bytes);
        // Staging is used once: it shall not push the engine's own data out of the L2 cache.
        value[k] = kScatter ? __ldcs(in_staging) : *in_page;
        to[k] = kScatter ? in_page : in_staging;
      }
#pragma unroll
      for (uint32_t k = 0; k < kInFlight; ++k) {
        if (to[k] == nullptr) continue;
        if (kScatter) {
          *to[k] = value[k];
        } else {
          __stcs(to[k], value[k]);
        }
      }
    }
  }
}

// Item = (part * part_planes_max + plane of the part) * tiles + tile. False: nothing of it moves.
__device__ bool find_tile(const MoveBytes& move, uint64_t item, Tile& tile) {
  const uint64_t strip = item / move.tiles;
  const auto index = static_cast<uint32_t>(strip % move.part_planes_max);
  const StagedPart part = move.parts[strip / move.part_planes_max];
  if (index >= part.plane_count) return false;
  const uint32_t of_chunk = static_cast<uint32_t>(item % move.tiles) * move.tile_tokens;
  const uint32_t first = max(part.token_first + of_chunk, move.token_begin);
  const uint32_t end =
      min(part.token_first + min(of_chunk + move.tile_tokens, move.chunk_tokens), move.token_end);
  if (first >= end) return false;
  const uint32_t plane = part.plane_first + index;
  tile.staged = move.staging + part.offset_bytes + index * move.plane_bytes +
                (first - part.token_first) * move.row_bytes;
  tile.paged =
      move.layer_base[plane / move.planes_per_layer] + (plane % move.planes_per_layer) * move.plane_stride;
  tile.token_first = first;
  tile.tokens = end - first;
  return true;
}

template <bool kScatter>
__global__ void __launch_bounds__(kThreads) move_parts(const __grid_constant__ MoveBytes move) {
  for (uint64_t item = blockIdx.x; item < move.items; item += gridDim.x) {
    Tile tile;
    if (!find_tile(move, item, tile)) continue;
    const uint64_t bits =
        move.stride_bits | reinterpret_cast<uint64_t>(tile.staged) | reinterpret_cast<uint64_t>(tile.paged);
    if ((bits & 15) == 0) {
      move_tile<uint4, kScatter>(move, tile);
    } else if ((bits & 7) == 0) {
      move_tile<uint2, kScatter>(move, tile);
    } else if ((bits & 3) == 0) {
      move_tile<unsigned int, kScatter>(move, tile);
    } else if ((bits & 1) == 0) {
      move_tile<unsigned short, kScatter>(move, tile);
    } else {
      move_tile<unsigned char, kScatter>(move, tile);
    }
  }
}

MoveBytes in_bytes(const PagedMove& move) {
  const PagedLayout& layout = move.layout;
  const uint64_t element = layout.element_bytes;
  MoveBytes out{};
  out.layer_base = move.layer_base;
  out.block_table = move.block_table;
  out.parts = move.parts;
  out.staging = move.staging;
  // A stride that is never stepped says nothing about alignment.
  out.plane_stride = layout.planes_per_layer > 1 ? layout.plane_stride * element : 0;
  out.block_stride = layout.blocks > 1 ? layout.block_stride * element : 0;
  out.token_stride = layout.block_tokens > 1 ? layout.token_stride * element : 0;
  out.row_bytes = layout.row_bytes();
  out.plane_bytes = move.plane_bytes();
  const bool together = layout.heads == 1 || layout.head_stride == layout.head_dim;
  out.piece_bytes = together ? out.row_bytes : layout.head_dim * element;
  out.piece_stride = together ? 0 : layout.head_stride * element;
  out.stride_bits = out.plane_stride | out.block_stride | out.token_stride | out.piece_stride |
                    out.row_bytes | out.piece_bytes;
  out.block_tokens = layout.block_tokens;
  out.planes_per_layer = layout.planes_per_layer;
  out.part_planes_max = move.part_planes_max;
  out.chunk_tokens = move.chunk_tokens;
  out.tile_tokens = static_cast<uint32_t>(std::max<uint64_t>(1, kTileBytes / out.row_bytes));
  out.tiles = (move.chunk_tokens + out.tile_tokens - 1) / out.tile_tokens;
  out.items = uint64_t{move.part_count} * move.part_planes_max * out.tiles;
  out.token_begin = move.token_begin;
  out.token_end = move.token_end;
  return out;
}

template <bool kScatter>
Result<void> launch(const PagedMove& move, void* stream, uint32_t thread_blocks_max) {
  if (move.part_count == 0 || move.token_begin >= move.token_end) return {};
  const MoveBytes bytes = in_bytes(move);
  const uint64_t most = thread_blocks_max == 0 ? INT32_MAX : thread_blocks_max;
  const auto thread_blocks = static_cast<uint32_t>(std::min(bytes.items, most));
  move_parts<kScatter><<<thread_blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(bytes);
  return cudaGetLastError() == cudaSuccess ? Result<void>{} : fail(Error::kSystem);
}

}  // namespace

Result<void> scatter_paged(const PagedMove& move, void* stream, uint32_t thread_blocks_max) {
  return launch<true>(move, stream, thread_blocks_max);
}

Result<void> gather_paged(const PagedMove& move, void* stream, uint32_t thread_blocks_max) {
  return launch<false>(move, stream, thread_blocks_max);
}

Result<void> load_paged_kernels() {
  // Asking for a kernel's attributes loads it (CUDA's lazy loading).
  cudaFuncAttributes attributes;
  const bool loaded = cudaFuncGetAttributes(&attributes, move_parts<true>) == cudaSuccess &&
                      cudaFuncGetAttributes(&attributes, move_parts<false>) == cudaSuccess;
  if (loaded) return {};
  cudaGetLastError();
  return fail(Error::kSystem);
}

}  // namespace shadowserve
