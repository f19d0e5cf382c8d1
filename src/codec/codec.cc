// Puts the codec's steps together: records from symbols, values from symbols, and whole trips.
#include "codec/codec.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "chunk/record_frames.h"
#include "codec/calibrated/calibrated_model.h"
#include "codec/frame_decoder.h"
#include "codec/frame_kernel.h"
#include "codec/kept_row_values.h"
#include "contract/check.h"

namespace shadowserve {
namespace {

RecordHeader make_header(const EncodePlan& plan, const Profile& profile, const ChunkKey& key) {
  const KvGeometry& geometry = plan.shape.geometry;
  RecordHeader header{};
  std::memcpy(header.magic, kRecordMagic, sizeof header.magic);
  header.version = kRecordVersion;
  header.header_bytes = static_cast<uint32_t>(sizeof header + plan.frame_count * sizeof(FrameEntry));
  header.frame_count = plan.frame_count;
  header.element = geometry.element_number();
  header.layers = geometry.layers;
  header.kv_heads = geometry.kv_heads;
  header.head_dim = geometry.head_dim;
  header.chunk_tokens = geometry.chunk_tokens;
  header.part = plan.shape.part;
  header.plane_first = plan.shape.plane_first;
  header.plane_count = plan.shape.plane_count;
  std::memcpy(header.chunk_key, key.data(), key.size());
  const std::string_view name = profile.name();
  std::memcpy(header.profile, name.data(), std::min(name.size(), sizeof header.profile - 1));
  return header;
}

}  // namespace

Result<size_t> compress_part(const EncodePlan& plan, const Profile& profile, const ChunkKey& key,
                             SealKind seal_kind, const ChunkKey& seal, std::span<const std::byte> symbols,
                             std::span<const std::byte> scales, CoderWorkspace& workspace,
                             std::span<std::byte> record) {
  SS_CHECK(record.size() >= kRecordBytesMax, "the slot's record region holds any record");
  record = record.first(kRecordBytesMax);
  RecordHeader header = make_header(plan, profile, key);
  size_t at = header.header_bytes;
  for (uint32_t i = 0; i < plan.frame_count; ++i) {
    FrameEntry entry = plan.frames[i];
    const size_t scales_at = align_up(at, kScaleAlign);
    if (scales_at + entry.scale_bytes > record.size()) return fail(Error::kNoCapacity);
    std::memset(record.data() + at, 0, scales_at - at);
    std::memcpy(record.data() + scales_at, scales.data() + plan.scale_offset[i], entry.scale_bytes);
    at = scales_at + entry.scale_bytes;
    auto coder = static_cast<CoderId>(entry.coder);
    RansSegment segments[kRansSegmentsMax];
    uint32_t segment_count = 0;
    if (quantizer_of(entry) == QuantizerId::kCalibrated) {
      segment_count = profile.model->segments(entry.plane, entry.token_count, segments);
      header.first_position = plan.shape.first_position;
    }
    const auto coded = workspace.encode(coder, symbols.subspan(plan.symbol_offset[i], entry.symbol_bytes),
                                        record.subspan(at), std::span(segments).first(segment_count));
    if (!coded) return coded;
    entry.coder = static_cast<uint8_t>(coder);
    entry.coded_bytes = static_cast<uint32_t>(*coded);
    std::memcpy(record.data() + sizeof header + i * sizeof entry, &entry, sizeof entry);
    at += *coded;
  }
  header.record_bytes = static_cast<uint32_t>(at);
  std::memcpy(record.data(), &header, sizeof header);
  seal_record(record.first(at), seal_kind, seal);
  return at;
}

Result<void> dequantize_frame(const RecordView& view, uint32_t frame, std::span<const std::byte> symbols,
                              std::span<std::byte> values, ValueStores stores) {
  SS_CHECK(frame < view.frame_count(), "the view has this frame");
  const RecordView::Frame& piece = view.frame(frame);
  const KvGeometry& geometry = view.shape().geometry;
  const size_t value_bytes = piece.entry.token_count * geometry.row_bytes();
  SS_CHECK(symbols.size() == piece.entry.symbol_bytes && piece.value_offset + value_bytes <= values.size(),
           "symbols are this frame's and values the whole part's");
  SS_CHECK(quantizer_of(piece.entry) != QuantizerId::kCalibrated,
           "calibrated frames are decoded in one pass");
  const bool stream = stores == ValueStores::kStreaming;
  auto* const to = reinterpret_cast<uint8_t*>(values.data()) + piece.value_offset;
  dequantize_frame_simd(FrameShape::of(piece.entry, geometry),
                        reinterpret_cast<const uint8_t*>(symbols.data()),
                        reinterpret_cast<const uint8_t*>(piece.scales.data()), to, stream);
  put_kept_rows_behind(piece, geometry, to, stream);
  return {};
}

Result<size_t> encode_part(const Profile& profile, const PartShape& shape, const ChunkKey& key, SealKind kind,
                           const ChunkKey& seal, std::span<const std::byte> values,
                           std::span<std::byte> record) {
  std::vector<std::byte> symbols(kSymbolBytesMax), scales(kScaleBytesMax);
  EncodePlan plan;
  if (auto quantized = quantize_part(profile, shape, values, symbols, scales, plan); !quantized) {
    return fail(quantized.error());
  }
  CoderWorkspace workspace;
  return compress_part(plan, profile, key, kind, seal, symbols, scales, workspace, record);
}

Result<void> decode_part(std::span<const std::byte> record, const PartShape& shape, const ChunkKey& key,
                         const ChunkKey& seal, std::span<std::byte> values, const CalibratedModel* model) {
  SS_CHECK(values.size() >= shape.value_bytes(), "the values of the part fit");
  RecordView view;
  if (auto opened = open_record(record, shape, key, seal, view); !opened) return opened;
  std::vector<std::byte> symbols(kFrameBytesMax);
  CoderWorkspace workspace;
  std::optional<FrameDecoder> decoder;  // megabytes of angles: only where a frame needs them
  for (uint32_t i = 0; i < view.frame_count(); ++i) {
    const RecordView::Frame& frame = view.frame(i);
    if (quantizer_of(frame.entry) == QuantizerId::kCalibrated) {
      if (!decoder) decoder.emplace(workspace);
      if (auto done = decoder->decode(view, i, values, ValueStores::kCached, model); !done) return done;
      continue;
    }
    const auto frame_symbols = std::span(symbols).first(frame.entry.symbol_bytes);
    const auto coder = static_cast<CoderId>(frame.entry.coder);
    if (auto decoded = workspace.decode(coder, frame.coded, frame_symbols); !decoded) return decoded;
    if (auto values_made = dequantize_frame(view, i, frame_symbols, values); !values_made) return values_made;
  }
  return {};
}

}  // namespace shadowserve
