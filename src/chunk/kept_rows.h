// Kept rows and patches: what a frame holds besides symbols, for tokens and elements that quantizing would
// spoil (docs/formats/record-v1.md, "Kept rows and patches"). They follow the frame's scales.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "chunk/kv_geometry.h"

namespace shadowserve {

/// One element that stays as it was cached.
struct Patch {
  uint16_t token;
  uint16_t channel;
  uint16_t element;
};
static_assert(sizeof(Patch) == 6 && alignof(Patch) == 2);

/// Fixed head of the region, little-endian.
struct KeptRowsHead {
  uint16_t exact_rows = 0;
  uint16_t int8_rows = 0;
  uint32_t patches = 0;
};
static_assert(sizeof(KeptRowsHead) == 8);

/// Where everything lies in a frame's region. Tokens count from the frame's first; those of each kind ascend.
struct KeptRows {
  KeptRowsHead head;
  const uint8_t* exact_tokens = nullptr;    ///< u16 [exact_rows]
  const uint8_t* int8_tokens = nullptr;     ///< u16 [int8_rows]
  const uint8_t* exact_elements = nullptr;  ///< elements [exact_rows][channel]
  const uint8_t* int8_scales = nullptr;     ///< bf16 [int8_rows][head]
  const uint8_t* patches = nullptr;         ///< Patch [patches], by token, then channel
  const uint8_t* int8_symbols = nullptr;    ///< [int8_rows][channel], as kTokenSym with 255 levels

  /// Bytes of a region with this head.
  static size_t bytes(const KeptRowsHead& head, const KvGeometry& geometry);
  /// The parts of a region that begins with this head.
  static KeptRows at(const uint8_t* region, const KeptRowsHead& head, const KvGeometry& geometry);
  /// True when all of the hostile `region` is one set of kept rows for a frame of `tokens` tokens: sizes
  /// agree to the byte, tokens and channels exist and ascend, scales are below kScaleBitsEnd.
  static bool parse(std::span<const std::byte> region, const KvGeometry& geometry, uint32_t tokens,
                    KeptRows& rows);
};

}  // namespace shadowserve
