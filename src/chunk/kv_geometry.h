// The shape of a model's KV cache in the canonical layout, and how a chunk is cut into parts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "contract/limits.h"
#include "contract/result.h"

namespace shadowserve {

/// Element type of the engine's KV cache. Values are part of the record format.
enum class ElementType : uint8_t { kBf16 = 1, kFp16 = 2 };

inline constexpr size_t kElementBytes = 2;  // both element types

/// Canonical layout of a chunk: [layer][K|V][token][head * head_dim + dim], little-endian elements.
/// A *plane* is one [token][channel] matrix, numbered layer * 2 + (0 for K, 1 for V).
struct KvGeometry {
  uint32_t layers = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t chunk_tokens = kChunkTokensDefault;
  ElementType element = ElementType::kBf16;

  uint32_t channels() const { return kv_heads * head_dim; }
  uint32_t planes() const { return layers * 2; }
  size_t plane_values() const { return size_t{chunk_tokens} * channels(); }
  size_t plane_bytes() const { return plane_values() * kElementBytes; }
  size_t chunk_bytes() const { return plane_bytes() * planes(); }

  /// kConfig when a field is zero or over its limit, or one plane does not fit a record (use fewer tokens),
  /// or one token of a plane does not fit a frame.
  Result<void> validate() const;

  /// Planes of every part but the last, which may be shorter. Parts are of equal size as far as possible and
  /// keep K and V of a layer together whenever two planes fit a record.
  uint32_t planes_per_part() const;
  uint32_t parts() const;

  friend bool operator==(const KvGeometry&, const KvGeometry&) = default;
};

/// One part of a chunk: what one record holds.
struct PartShape {
  KvGeometry geometry;
  uint32_t part = 0;
  uint32_t plane_first = 0;
  uint32_t plane_count = 0;
  /// Of the chunk's first token in its sequence. Nothing but calibrated planes depends on it.
  uint32_t first_position = 0;

  size_t value_bytes() const { return plane_count * geometry.plane_bytes(); }
  size_t values() const { return plane_count * geometry.plane_values(); }
};

/// REQUIRES geometry.validate() and part < geometry.parts().
PartShape part_shape(const KvGeometry& geometry, uint32_t part);

}  // namespace shadowserve
