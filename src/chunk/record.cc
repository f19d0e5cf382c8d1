// Opens records: everything in hostile bytes is checked here before any of it is used.
#include "chunk/record.h"

#include <bit>
#include <cstring>

#include "chunk/record_frames.h"

namespace shadowserve {
namespace {

static_assert(std::endian::native == std::endian::little, "records are read as they lie in memory");

bool all_zero(std::span<const uint8_t> field) {
  for (const uint8_t byte : field) {
    if (byte != 0) return false;
  }
  return true;
}

/// Everything that the header alone can tell. The identity is not looked at.
Result<void> check_header(std::span<const std::byte> bytes, RecordHeader& header) {
  if (bytes.size() < sizeof header) return fail(Error::kRecordTruncated);
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kRecordMagic, sizeof header.magic) != 0) return fail(Error::kRecordMalformed);
  if (header.version != kRecordVersion) return fail(Error::kRecordVersion);
  if (header.record_bytes > kRecordBytesMax) return fail(Error::kRecordMalformed);
  if (header.record_bytes > bytes.size()) return fail(Error::kRecordTruncated);
  const bool frames_fit = header.frame_count > 0 && header.frame_count <= kFramesPerRecordMax &&
                          header.header_bytes == sizeof header + header.frame_count * sizeof(FrameEntry) &&
                          header.header_bytes <= header.record_bytes && header.record_bytes == bytes.size();
  const bool seal_known = header.seal_kind == static_cast<uint8_t>(SealKind::kXxh3) ||
                          header.seal_kind == static_cast<uint8_t>(SealKind::kGmac);
  if (!frames_fit || !all_zero(header.reserved0)) {
    return fail(Error::kRecordMalformed);
  }
  if (header.flags != 0 || !seal_known) return fail(Error::kUnsupported);
  return {};
}

KvGeometry geometry_of(const RecordHeader& header) {
  KvGeometry geometry{header.layers, header.kv_heads, header.head_dim, header.chunk_tokens};
  geometry.set_element_number(header.element);
  return geometry;
}

bool same_part(const RecordHeader& header, const PartShape& shape) {
  return geometry_of(header) == shape.geometry && header.part == shape.part &&
         header.plane_first == shape.plane_first && header.plane_count == shape.plane_count;
}

}  // namespace

Result<void> open_record(std::span<const std::byte> bytes, const PartShape& shape, const ChunkKey& key,
                         const ChunkKey& seal, RecordView& view) {
  if (auto checked = check_header(bytes, view.header_); !checked) return checked;
  // Before the seal, because a foreign record has a foreign seal too and "corrupt" would mislead; nothing of
  // the payload is read in between.
  if (std::memcmp(view.header_.chunk_key, key.data(), key.size()) != 0 || !same_part(view.header_, shape)) {
    return fail(Error::kRecordForeign);
  }
  if (!seal_matches(bytes, seal)) return fail(Error::kRecordCorrupt);
  view.shape_ = shape;
  return parse_frames(bytes, view);
}

Result<void> describe_record(std::span<const std::byte> bytes, RecordView& view) {
  if (auto checked = check_header(bytes, view.header_); !checked) return checked;
  const KvGeometry geometry = geometry_of(view.header_);
  if (!geometry.validate() || view.header_.part >= geometry.parts()) return fail(Error::kRecordMalformed);
  view.shape_ = part_shape(geometry, view.header_.part);
  if (!same_part(view.header_, view.shape_)) return fail(Error::kRecordMalformed);
  view.shape_.first_position = view.header_.first_position;
  return parse_frames(bytes, view);
}

}  // namespace shadowserve
