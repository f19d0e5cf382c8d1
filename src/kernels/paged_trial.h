// Test support: requests over every layout, with memory to run them in and the answer by a direct formula.
#pragma once

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/paged_move.h"

namespace shadowserve {

/// The axes of one layer's tensor, in the order in which they lie in memory; the dims are always last.
enum class PageOrder {
  kPairBlockTokenHead,
  kBlockPairTokenHead,
  kPairBlockHeadToken,
  kBlockPairHeadToken,
  kBlockTokenHeadPair,
  kOnePlane
};

struct PagedTrial {
  std::string name;
  PageOrder order = PageOrder::kPairBlockTokenHead;
  uint32_t layers = 3, heads = 2, head_dim = 16, element_bytes = 2;
  uint32_t block_tokens = 16, chunk_tokens = 64, chunks = 3, part_planes = 4;
  uint32_t token_begin = 0, token_end = UINT32_MAX;  ///< cut to the tokens there are
  uint32_t shift_bytes = 0;                          ///< how far off 64-byte alignment everything lies
  uint32_t pad_elements = 0;                         ///< between blocks
  bool one_part = false;  ///< only the second part there is, as if it had come alone
};

/// The element's place from the layer's base, from nothing but the order of axes.
inline uint64_t paged_element(const PagedTrial& t, uint32_t blocks, uint64_t kind, uint64_t block,
                              uint64_t slot, uint64_t head, uint64_t dim) {
  const uint64_t n = t.block_tokens, h = t.heads, d = t.head_dim, pad = t.pad_elements;
  switch (t.order) {
    case PageOrder::kPairBlockTokenHead:
      return kind * blocks * (n * h * d + pad) + block * (n * h * d + pad) + (slot * h + head) * d + dim;
    case PageOrder::kBlockPairTokenHead:
      return block * (2 * n * h * d + pad) + ((kind * n + slot) * h + head) * d + dim;
    case PageOrder::kPairBlockHeadToken:
      return kind * blocks * (n * h * d + pad) + block * (n * h * d + pad) + (head * n + slot) * d + dim;
    case PageOrder::kBlockPairHeadToken:
      return block * (2 * n * h * d + pad) + ((kind * h + head) * n + slot) * d + dim;
    case PageOrder::kBlockTokenHeadPair:
      return block * (2 * n * h * d + pad) + ((slot * h + head) * 2 + kind) * d + dim;
    case PageOrder::kOnePlane:
      return block * (n * h * d + pad) + (slot * h + head) * d + dim;
  }
  return 0;
}

/// The same as strides, as the engine's tensors would say.
inline PagedLayout paged_layout(const PagedTrial& t, uint32_t blocks) {
  PagedLayout layout{t.layers,        t.order == PageOrder::kOnePlane ? 1u : 2u,
                     t.heads,         t.head_dim,
                     t.element_bytes, t.block_tokens,
                     blocks};
  layout.plane_stride = paged_element(t, blocks, 1, 0, 0, 0, 0);
  layout.block_stride = paged_element(t, blocks, 0, 1, 0, 0, 0);
  layout.token_stride = paged_element(t, blocks, 0, 0, 1, 0, 0);
  layout.head_stride = paged_element(t, blocks, 0, 0, 0, 1, 0);
  if (layout.planes_per_layer == 1) layout.plane_stride = 0;
  return layout;
}

/// Host images of the pages of all layers and of staging, filled so that no two elements look alike for
/// long; parts and blocks lie in no order.
class PagedTrialMemory {
 public:
  explicit PagedTrialMemory(const PagedTrial& trial) : trial_(trial) {
    const uint32_t tokens = trial.chunks * trial.chunk_tokens;
    const uint32_t entries = (tokens + trial.block_tokens - 1) / trial.block_tokens;
    const uint32_t blocks = entries + 3;
    move_.layout = paged_layout(trial, blocks);
    std::vector<int32_t> ids(blocks);
    std::iota(ids.begin(), ids.end(), 0);
    std::shuffle(ids.begin(), ids.end(), random_);
    block_table.assign(ids.begin(), ids.begin() + entries);
    move_.token_begin = trial.token_begin;
    move_.token_end = std::min(trial.token_end, tokens);
    move_.chunk_tokens = trial.chunk_tokens;
    lay_out_parts();
    const uint64_t layer_pitch = (move_.layout.layer_bytes() + 191) / 64 * 64;
    for (uint32_t layer = 0; layer < trial.layers; ++layer)
      layer_offset.push_back((trial.layers - 1 - layer) * layer_pitch + trial.shift_bytes);
    pages.resize(trial.layers * layer_pitch + 64);
    for (auto* image : {&pages, &staging})
      for (std::byte& byte : *image) byte = static_cast<std::byte>(random_());
  }

  std::vector<int32_t> block_table;
  std::vector<StagedPart> parts;
  std::vector<uint64_t> layer_offset;  ///< of each layer in `pages`
  std::vector<std::byte> pages, staging;

  /// With the host's tables and images; `layer_bases` is where the pointers are to live.
  PagedMove move(std::vector<std::byte*>& layer_bases) {
    PagedMove move = move_;
    layer_bases.clear();
    for (uint64_t offset : layer_offset) layer_bases.push_back(pages.data() + offset);
    move.layer_base = layer_bases.data();
    move.block_table = block_table.data();
    move.block_table_size = static_cast<uint32_t>(block_table.size());
    move.parts = parts.data();
    move.part_count = static_cast<uint32_t>(parts.size());
    move.staging = staging.data();
    move.staging_bytes = staging.size();
    return move;
  }

  /// What `pages` become by scattering, or `staging` by gathering, element by element.
  std::vector<std::byte> expected(bool scatter) const {
    std::vector<std::byte> out = scatter ? pages : staging;
    const PagedLayout& layout = move_.layout;
    for (const StagedPart& part : parts) {
      uint64_t staged = part.offset_bytes;
      for (uint32_t plane = part.plane_first; plane < part.plane_first + part.plane_count; ++plane)
        for (uint32_t token = part.token_first; token < part.token_first + trial_.chunk_tokens; ++token)
          for (uint32_t head = 0; head < layout.heads; ++head)
            for (uint32_t dim = 0; dim < layout.head_dim; ++dim, staged += layout.element_bytes) {
              if (token < move_.token_begin || token >= move_.token_end) continue;
              const uint64_t element = paged_element(trial_, layout.blocks, plane % layout.planes_per_layer,
                                                     block_table[token / layout.block_tokens],
                                                     token % layout.block_tokens, head, dim);
              const uint64_t paged =
                  layer_offset[plane / layout.planes_per_layer] + element * layout.element_bytes;
              const std::byte* from = scatter ? &staging[staged] : &pages[paged];
              std::memcpy(&out[scatter ? paged : staged], from, layout.element_bytes);
            }
    }
    return out;
  }

 private:
  void lay_out_parts() {
    const uint32_t planes = move_.layout.planes();
    for (uint32_t chunk = 0; chunk < trial_.chunks; ++chunk)
      for (uint32_t first = 0; first < planes; first += trial_.part_planes)
        parts.push_back(
            {0, chunk * trial_.chunk_tokens, first, std::min(trial_.part_planes, planes - first)});
    if (trial_.one_part) parts = {parts[1]};
    std::shuffle(parts.begin(), parts.end(), random_);
    uint64_t at = trial_.shift_bytes;
    for (StagedPart& part : parts) {
      part.offset_bytes = at;
      at += (part.plane_count * move_.plane_bytes() + 127) / 64 * 64;
    }
    staging.resize(at + 64);
    move_.part_planes_max = trial_.part_planes;
  }

  PagedTrial trial_;
  PagedMove move_;
  std::mt19937 random_{1};
};

/// Every order with both element sizes, blocks that do and do not divide a chunk, ranges that do and do not
/// begin and end at a block; then what a model or an engine does that is special.
inline std::vector<PagedTrial> paged_trials() {
  const char* const orders[] = {"pair block token head", "block pair token head", "pair block head token",
                                "block pair head token", "block token head pair", "one plane"};
  std::vector<PagedTrial> trials;
  for (int order = 0; order < 6; ++order)
    for (uint32_t element_bytes : {2u, 1u})
      for (uint32_t block_tokens : {16u, 24u, 1u})
        for (bool inside : {false, true}) {
          PagedTrial trial;
          trial.order = static_cast<PageOrder>(order);
          trial.element_bytes = element_bytes;
          trial.block_tokens = block_tokens;
          if (inside) trial.token_begin = 21, trial.token_end = 3 * 64 - 13;
          trial.name = std::string(orders[order]) + ", " + std::to_string(element_bytes) +
                       " bytes, blocks of " + std::to_string(block_tokens) + (inside ? ", inside" : "");
          trials.push_back(trial);
        }
  using enum PageOrder;
  trials.push_back({"llama", kPairBlockTokenHead, 4, 8, 128, 2, 16, 256, 2, 4});
  trials.push_back({"llama, heads first", kBlockPairHeadToken, 4, 8, 128, 2, 16, 256, 2, 4, 100, 300});
  trials.push_back({"latent", kOnePlane, 5, 1, 576, 2, 64, 256, 2, 3});
  trials.push_back({"latent fp8", kOnePlane, 3, 1, 656, 1, 64, 256, 1, 2, 1, 255});
  trials.push_back({"rows wider than a thread block", kPairBlockTokenHead, 2, 40, 128, 2, 16, 64, 2, 2});
  trials.push_back({"8-byte accesses", kPairBlockHeadToken, 2, 3, 20, 2, 16, 64, 2, 2, 5, 90});
  trials.push_back({"4-byte accesses", kBlockPairHeadToken, 2, 3, 6, 2, 16, 64, 2, 2});
  trials.push_back({"2-byte accesses", kBlockTokenHeadPair, 2, 3, 7, 2, 16, 64, 2, 2});
  trials.push_back({"1-byte accesses", kPairBlockHeadToken, 2, 3, 7, 1, 16, 64, 2, 2});
  trials.push_back({"off by 2 bytes", kPairBlockTokenHead, 2, 8, 64, 2, 16, 64, 2, 2, 0, UINT32_MAX, 2});
  trials.push_back({"off by 1 byte", kPairBlockTokenHead, 2, 8, 64, 1, 16, 64, 2, 2, 0, UINT32_MAX, 1});
  trials.push_back({"padded blocks", kBlockPairTokenHead, 2, 8, 64, 2, 16, 64, 2, 2, 0, UINT32_MAX, 0, 8});
  trials.push_back({"one part", kPairBlockTokenHead, 6, 2, 64, 2, 16, 64, 2, 4, 0, UINT32_MAX, 0, 0, true});
  trials.push_back({"one token", kPairBlockTokenHead, 2, 2, 64, 2, 16, 64, 2, 4, 70, 71});
  trials.push_back({"no token", kPairBlockTokenHead, 2, 2, 64, 2, 16, 64, 2, 4, 64, 64});
  trials.push_back({"block longer than a chunk", kBlockPairHeadToken, 2, 2, 64, 2, 160, 64, 4, 4, 30, 200});
  return trials;
}

}  // namespace shadowserve
