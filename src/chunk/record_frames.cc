// Checks a record's frame table: nothing in it is believed before it agrees with the shape and the sizes.
#include "chunk/record_frames.h"

#include <cstring>

namespace shadowserve {
namespace {

constexpr uint32_t kNibbleLevelsMax = 16;

bool known_ids(const FrameEntry& entry) {
  return quantizer_of(entry) <= QuantizerId::kCalibrated &&
         entry.packing <= static_cast<uint8_t>(PackingId::kSplit) &&
         entry.coder <= static_cast<uint8_t>(CoderId::kRans);
}

/// True when quantizer, packing, alphabet and groups fit each other.
bool consistent_recipe(const FrameEntry& entry, const KvGeometry& geometry) {
  const auto packing = static_cast<PackingId>(entry.packing);
  if (quantizer_of(entry) == QuantizerId::kRaw) {
    const bool splits = packing == PackingId::kSplit && geometry.element_bytes() == 2;
    return !keeps_rows(entry) && (packing == PackingId::kElements || splits) && entry.levels == 0 &&
           entry.group_tokens == 0 && entry.group_heads == 0;
  }
  if (geometry.stored_as_is()) return false;
  const bool packing_fits =
      packing == PackingId::kBytes || (packing == PackingId::kNibbles && entry.levels <= kNibbleLevelsMax);
  if (!packing_fits) return false;
  if (quantizer_of(entry) == QuantizerId::kCalibrated) {
    const auto coder = static_cast<CoderId>(entry.coder);
    return packing == PackingId::kBytes && (coder == CoderId::kRans || coder == CoderId::kNone) &&
           entry.levels == 0 && entry.group_heads == 0 && entry.group_tokens == 0;
  }
  if (quantizer_of(entry) == QuantizerId::kTokenSym) {
    return entry.levels >= 3 && entry.levels % 2 == 1 && entry.group_tokens == 0 && entry.group_heads > 0 &&
           geometry.kv_heads % entry.group_heads == 0;
  }
  return entry.levels >= 2 && entry.group_heads == 0 && entry.group_tokens > 0;
}

/// Steps and token scales are non-negative, minima of either sign; all are below kScaleBitsEnd.
bool sane_scales(const FrameEntry& entry, std::span<const std::byte> scales, uint32_t channels) {
  const bool has_minima = quantizer_of(entry) == QuantizerId::kChannelAsym;
  const size_t run = has_minima ? channels : scales.size() / 2;
  bool sane = true;
  bool minima = false;
  for (size_t first = 0; first < scales.size() / 2; first += run, minima = has_minima && !minima) {
    const uint16_t magnitude_mask = minima ? 0x7fff : 0xffff;
    const std::byte* const from = scales.data() + first * 2;
    uint16_t largest = 0;
    for (size_t i = 0; i < run; ++i) {
      uint16_t bits;
      std::memcpy(&bits, from + i * 2, sizeof bits);
      bits &= magnitude_mask;
      largest = bits > largest ? bits : largest;
    }
    sane &= largest < kScaleBitsEnd;
  }
  return sane;
}

}  // namespace

size_t symbol_row_bytes(PackingId packing, uint32_t channels, ElementType element) {
  switch (packing) {
    case PackingId::kBytes:
      return channels;
    case PackingId::kNibbles:
      return (size_t{channels} + 1) / 2;
    case PackingId::kElements:
    case PackingId::kSplit:
      break;
  }
  return size_t{channels} * element_bytes(element);
}

size_t frame_scale_bytes(const FrameEntry& entry, const KvGeometry& geometry) {
  switch (quantizer_of(entry)) {
    case QuantizerId::kRaw:
    case QuantizerId::kCalibrated:
      break;
    case QuantizerId::kTokenSym:
      return size_t{entry.token_count} * (geometry.kv_heads / entry.group_heads) * 2;
    case QuantizerId::kChannelAsym: {
      const size_t groups = (size_t{entry.token_count} + entry.group_tokens - 1) / entry.group_tokens;
      return groups * geometry.channels() * 4;
    }
  }
  return 0;
}

Result<void> parse_frames(std::span<const std::byte> bytes, RecordView& view) {
  const KvGeometry& geometry = view.shape_.geometry;
  const size_t row_value_bytes = geometry.row_bytes();
  const uint32_t plane_end = view.shape_.plane_first + view.shape_.plane_count;
  uint32_t plane = view.shape_.plane_first;
  uint32_t token = 0;
  size_t at = view.header_.header_bytes;
  size_t value_offset = 0;
  bool calibrated = false;
  view.symbol_bytes_ = 0;
  for (uint32_t i = 0; i < view.header_.frame_count; ++i) {
    RecordView::Frame& frame = view.frames_[i];
    FrameEntry& entry = frame.entry;
    std::memcpy(&entry, bytes.data() + sizeof(RecordHeader) + i * sizeof(FrameEntry), sizeof entry);
    if (!known_ids(entry)) return fail(Error::kUnsupported);
    if (plane == plane_end || entry.plane != plane || entry.token_first != token || entry.token_count == 0 ||
        entry.token_count > geometry.chunk_tokens - token || entry.reserved != 0 ||
        !consistent_recipe(entry, geometry)) {
      return fail(Error::kRecordMalformed);
    }
    const size_t symbol_bytes = entry.token_count * symbol_row_bytes(static_cast<PackingId>(entry.packing),
                                                                     geometry.channels(), geometry.element);
    const size_t scale_bytes = frame_scale_bytes(entry, geometry);
    if (entry.symbol_bytes != symbol_bytes || symbol_bytes > kFrameBytesMax ||
        entry.scale_bytes < scale_bytes || (entry.scale_bytes > scale_bytes && !keeps_rows(entry))) {
      return fail(Error::kRecordMalformed);
    }
    if (static_cast<CoderId>(entry.coder) == CoderId::kNone && entry.coded_bytes != symbol_bytes) {
      return fail(Error::kRecordMalformed);
    }
    at = align_up(at, kScaleAlign);
    if (at > bytes.size() || entry.scale_bytes > bytes.size() - at ||
        entry.coded_bytes > bytes.size() - at - entry.scale_bytes) {
      return fail(Error::kRecordMalformed);
    }
    frame.scales = bytes.subspan(at, scale_bytes);
    frame.kept = {};
    const auto kept = bytes.subspan(at + scale_bytes, entry.scale_bytes - scale_bytes);
    if (keeps_rows(entry) && !KeptRows::parse(kept, geometry, entry.token_count, frame.kept)) {
      return fail(Error::kRecordMalformed);
    }
    calibrated |= quantizer_of(entry) == QuantizerId::kCalibrated;
    frame.coded = bytes.subspan(at + entry.scale_bytes, entry.coded_bytes);
    at += size_t{entry.scale_bytes} + entry.coded_bytes;
    if (!sane_scales(entry, frame.scales, geometry.channels())) return fail(Error::kRecordMalformed);

    frame.symbol_offset = view.symbol_bytes_;
    view.symbol_bytes_ += align_up(symbol_bytes, kSymbolAlign);
    frame.value_offset = value_offset;
    value_offset += entry.token_count * row_value_bytes;
    token += entry.token_count;
    if (token == geometry.chunk_tokens) {
      token = 0;
      ++plane;
    }
  }
  if (plane != plane_end || at != bytes.size()) return fail(Error::kRecordMalformed);
  // A chunk's key names all tokens before it, so a record with the right key has the right position.
  if (view.header_.first_position != (calibrated ? view.shape_.first_position : 0)) {
    return fail(Error::kRecordMalformed);
  }
  return {};
}

}  // namespace shadowserve
