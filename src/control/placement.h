// Moves canonical [token][channel] planes into the engine's pages and back, for every attention kernel's
// layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "contract/result.h"

namespace shadowserve {

/// How an attention kernel lays out one head of one page. D = head_dim, N = page_tokens; positions in
/// elements from the head's start, values V always behind keys K (at N * D). Values are part of the C API.
///
///   kVec    K  d * N + t                                              V  t * D + d
///   kAmx    K  (t / 16) * 16 * D + (d / 2) * 32 + (t % 16) * 2 + d % 2
///           V  (d / 16) * N * 16 + (t / 2) * 32 + (d % 16) * 2 + t % 2
///   kPlain  K  t * D + d                                              V  t * D + d
///
/// kAmx packs pairs for AMX's two-way dot products: K pairs neighbouring dims, V neighbouring tokens.
enum class PageLayout : uint32_t { kVec = 1, kAmx = 2, kPlain = 3 };

/// Which of a layer's planes; a latent one is kKeys.
enum class PlaneKind : uint32_t { kKeys = 0, kValues = 1 };

/// One page of one layer: kv_heads heads, each K and V of page_tokens * head_dim elements. A latent page
/// (MLA) has one plane, in the place of K, and is kPlain.
struct PageShape {
  PageLayout layout = PageLayout::kVec;
  uint32_t page_tokens = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint64_t head_stride_bytes = 0;  ///< from one head's start to the next one's in the same page
  uint32_t element_bytes = 2;      ///< 2, or 1 for fp8
  uint32_t planes = 2;             ///< 1: latent

  size_t plane_bytes() const { return size_t{page_tokens} * head_dim * element_bytes; }  ///< of one head
  size_t head_bytes() const { return planes * plane_bytes(); }
  /// From the first head's start to the last one's end.
  uint64_t span_bytes() const { return (kv_heads - 1) * head_stride_bytes + head_bytes(); }
  size_t channels() const { return size_t{kv_heads} * head_dim; }
  size_t row_bytes() const { return channels() * element_bytes; }

  /// kConfig or kUnsupported with a sentence in `message`.
  Result<void> validate(std::string& message) const;
};

/// Element position of (token, dim) from the head's start, as in the table above.
size_t page_element(const PageShape& shape, PlaneKind kind, uint32_t token, uint32_t dim);

/// Scatters tokens [token_first, page_tokens) of one plane into `page` (the page's first head). Row 0 of
/// `rows` is the page's token 0; rows are channels() elements long. Tokens before token_first are neither
/// read nor written. REQUIRES shape.validate(). Any thread, no allocation; unaligned memory is fine.
void place_plane(const PageShape& shape, PlaneKind kind, const std::byte* rows, std::byte* page,
                 uint32_t token_first = 0);

/// The reverse, for all tokens of the page.
void gather_plane(const PageShape& shape, PlaneKind kind, const std::byte* page, std::byte* rows);

/// Element by element over [token_first, token_end) and [dim_first, head_dim): the oracle for tests, and what
/// the fast paths use for tails.
void place_plane_oracle(const PageShape& shape, PlaneKind kind, const std::byte* rows, std::byte* page,
                        uint32_t token_first, uint32_t token_end, uint32_t dim_first = 0);
void gather_plane_oracle(const PageShape& shape, PlaneKind kind, const std::byte* page, std::byte* rows,
                         uint32_t token_first, uint32_t token_end, uint32_t dim_first = 0);

}  // namespace shadowserve
