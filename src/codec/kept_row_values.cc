// A handful of rows a frame: plain loops do.
#include "codec/kept_row_values.h"

#include <algorithm>
#include <cstring>

#include "chunk/bits16.h"
#include "codec/frame_kernel.h"

namespace shadowserve {
namespace {

constexpr uint32_t kInt8Levels = 255;

bool holds(std::span<const uint16_t> tokens, uint16_t token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

/// A row in eight bits is a frame of one token.
FrameShape int8_row_shape(const KvGeometry& geometry) {
  return {QuantizerId::kTokenSym, PackingId::kBytes, geometry.element, kInt8Levels, 1, geometry.channels(), 0,
          geometry.head_dim};
}

}  // namespace

size_t write_kept_rows(const KeptTokens& kept, std::span<const Patch> patches, uint32_t first_token,
                       const KvGeometry& geometry, const uint8_t* values, std::span<std::byte> room) {
  const auto is_kept = [&](const Patch& patch) {
    const auto token = static_cast<uint16_t>(patch.token - first_token);
    return holds(kept.exact, token) || holds(kept.int8, token);
  };
  KeptRowsHead head;
  head.exact_rows = static_cast<uint16_t>(kept.exact.size());
  head.int8_rows = static_cast<uint16_t>(kept.int8.size());
  for (const Patch& patch : patches) head.patches += is_kept(patch) ? 0 : 1;
  const size_t bytes = KeptRows::bytes(head, geometry);
  if (bytes > room.size()) return 0;

  const size_t channels = geometry.channels(), row_bytes = channels * kElementBytes;
  auto* const region = reinterpret_cast<uint8_t*>(room.data());
  std::memcpy(region, &head, sizeof head);
  const KeptRows places = KeptRows::at(region, head, geometry);
  const auto writable = [region](const uint8_t* place) { return region + (place - region); };
  for (size_t i = 0; i < kept.exact.size(); ++i) {
    store16(writable(places.exact_tokens), i, kept.exact[i]);
    std::memcpy(writable(places.exact_elements) + i * row_bytes, values + kept.exact[i] * row_bytes,
                row_bytes);
  }
  for (size_t i = 0; i < kept.int8.size(); ++i) {
    store16(writable(places.int8_tokens), i, kept.int8[i]);
    quantize_frame_simd(int8_row_shape(geometry), values + kept.int8[i] * row_bytes,
                        writable(places.int8_symbols) + i * channels,
                        writable(places.int8_scales) + i * geometry.kv_heads * 2);
  }
  uint8_t* patch_at = writable(places.patches);
  for (const Patch& patch : patches) {
    if (is_kept(patch)) continue;
    const Patch in_frame{static_cast<uint16_t>(patch.token - first_token), patch.channel, patch.element};
    std::memcpy(patch_at, &in_frame, sizeof in_frame);
    patch_at += sizeof patch;
  }
  return bytes;
}

void put_kept_rows(const KeptRows& rows, const KvGeometry& geometry, uint8_t* values) {
  const size_t channels = geometry.channels(), row_bytes = channels * kElementBytes;
  for (uint32_t i = 0; i < rows.head.patches; ++i) {
    const size_t place = load16(rows.patches, 3 * i) * channels + load16(rows.patches, 3 * i + 1);
    store16(values, place, load16(rows.patches, 3 * i + 2));
  }
  for (uint32_t i = 0; i < rows.head.int8_rows; ++i) {
    dequantize_frame_simd(int8_row_shape(geometry), rows.int8_symbols + i * channels,
                          rows.int8_scales + i * size_t{geometry.kv_heads} * 2,
                          values + load16(rows.int8_tokens, i) * row_bytes);
  }
  for (uint32_t i = 0; i < rows.head.exact_rows; ++i) {
    std::memcpy(values + load16(rows.exact_tokens, i) * row_bytes, rows.exact_elements + i * row_bytes,
                row_bytes);
  }
}

void put_kept_rows_behind(const RecordView::Frame& frame, const KvGeometry& geometry, uint8_t* values,
                          bool streamed) {
  if (!keeps_rows(frame.entry)) return;
  if (streamed) finish_streaming();  // stores past the caches may otherwise come after these
  put_kept_rows(frame.kept, geometry, values);
}

}  // namespace shadowserve
