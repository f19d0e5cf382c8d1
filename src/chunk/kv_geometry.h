// The shape of a model's KV cache in the canonical layout, and how a chunk is cut into parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "contract/limits.h"
#include "contract/result.h"

namespace shadowserve {

/// Element type of the engine's KV cache. Values are part of the record format.
enum class ElementType : uint8_t {
  kBf16 = 1,
  kFp16 = 2,
  kFp8E4M3 = 3,  ///< one byte; stored as it is, never quantized again
  kFp8E5M2 = 4,
};

inline constexpr size_t kElementBytes = 2;  // of the types that are quantized
constexpr size_t element_bytes(ElementType element) {
  return element == ElementType::kFp8E4M3 || element == ElementType::kFp8E5M2 ? 1 : kElementBytes;
}
/// "bf16", "fp16", "fp8_e4m3", "fp8_e5m2"; "unknown" for anything else.
std::string_view element_name(ElementType element);

/// Added to an element's number wherever it is stored, sent or hashed: a layer is one latent plane (MLA).
inline constexpr uint8_t kLatentElement = 0x10;

/// Canonical layout of a chunk: [layer][K|V][token][head * head_dim + dim], little-endian elements.
/// A *plane* is one [token][channel] matrix, numbered layer * 2 + (0 for K, 1 for V). Multi-head latent
/// attention caches one vector a token in place of K and V: [layer][token][dim], plane = layer.
struct KvGeometry {
  uint32_t layers = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t chunk_tokens = kChunkTokensDefault;
  ElementType element = ElementType::kBf16;
  uint8_t planes_per_layer = 2;  ///< 2: K and V; 1: one latent plane, which has one head

  uint32_t channels() const { return kv_heads * head_dim; }
  size_t element_bytes() const { return shadowserve::element_bytes(element); }
  /// Elements of fp8 are rounded already: no profile quantizes them.
  bool stored_as_is() const { return element_bytes() == 1; }
  size_t row_bytes() const { return channels() * element_bytes(); }  ///< one token of a plane
  uint32_t planes() const { return layers * planes_per_layer; }
  size_t plane_values() const { return size_t{chunk_tokens} * channels(); }
  size_t plane_bytes() const { return plane_values() * element_bytes(); }
  size_t chunk_bytes() const { return plane_bytes() * planes(); }

  bool latent() const { return planes_per_layer == 1; }
  uint32_t layer_of(uint32_t plane) const { return plane / planes_per_layer; }
  /// 0 for K and for a latent plane, 1 for V.
  uint32_t kind_of(uint32_t plane) const { return plane % planes_per_layer; }
  /// Element and kind of plane in one number, as records, links and keys have it.
  uint8_t element_number() const {
    return static_cast<uint8_t>(static_cast<uint8_t>(element) | (latent() ? kLatentElement : 0));
  }
  /// The reverse. Any number is taken: validate() refuses what does not exist.
  void set_element_number(uint8_t number) {
    element = static_cast<ElementType>(number & ~kLatentElement);
    planes_per_layer = number & kLatentElement ? 1 : 2;
  }

  /// kConfig when a field is zero or over its limit, or one plane does not fit a record (use fewer tokens),
  /// or one token of a plane does not fit a frame, or a latent plane has several heads.
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
