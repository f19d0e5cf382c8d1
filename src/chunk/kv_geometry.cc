// Cuts chunks into parts.
#include "chunk/kv_geometry.h"

#include <algorithm>

#include "contract/check.h"

namespace shadowserve {

std::string_view element_name(ElementType element) {
  switch (element) {
    case ElementType::kBf16:
      return "bf16";
    case ElementType::kFp16:
      return "fp16";
    case ElementType::kFp8E4M3:
      return "fp8_e4m3";
    case ElementType::kFp8E5M2:
      return "fp8_e5m2";
  }
  return "unknown";
}

Result<void> KvGeometry::validate() const {
  const bool sane = layers > 0 && layers <= kLayersMax && kv_heads > 0 && kv_heads <= kKvHeadsMax &&
                    head_dim > 0 && head_dim <= kHeadDimMax && chunk_tokens > 0 &&
                    chunk_tokens <= kChunkTokensMax && element >= ElementType::kBf16 &&
                    element <= ElementType::kFp8E5M2 &&
                    (planes_per_layer == 2 || (latent() && kv_heads == 1));
  if (!sane || plane_bytes() > kPartValueBytesMax) return fail(Error::kConfig);
  // A frame holds whole tokens.
  if (row_bytes() > kFrameBytesMax) return fail(Error::kConfig);
  return {};
}

uint32_t KvGeometry::planes_per_part() const {
  // A plane longer than a frame becomes several frames; all frames of a part must fit the frame table.
  const size_t frames_per_plane = (plane_bytes() + kFrameBytesMax - 1) / kFrameBytesMax;
  const size_t by_frames = std::max<size_t>(1, kFramesPerRecordMax / (frames_per_plane + 1));
  auto most = static_cast<uint32_t>(std::min(kPartValueBytesMax / plane_bytes(), by_frames));
  if (most > 1 && !latent()) most &= ~1u;
  const uint32_t part_count = (planes() + most - 1) / most;
  uint32_t even_share = (planes() + part_count - 1) / part_count;
  if (even_share > 1 && !latent()) even_share = (even_share + 1) & ~1u;
  return std::min(even_share, most);
}

uint32_t KvGeometry::parts() const { return (planes() + planes_per_part() - 1) / planes_per_part(); }

PartShape part_shape(const KvGeometry& geometry, uint32_t part) {
  SS_CHECK(part < geometry.parts(), "the caller checked the part against the geometry");
  const uint32_t share = geometry.planes_per_part();
  PartShape shape{geometry, part, part * share, 0, 0};
  shape.plane_count = std::min(share, geometry.planes() - shape.plane_first);
  return shape;
}

}  // namespace shadowserve
