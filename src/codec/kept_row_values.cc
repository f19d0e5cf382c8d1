// A handful of rows a frame: plain loops do.
#include "codec/kept_row_values.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "chunk/bits16.h"
#include "codec/frame_kernel.h"

namespace shadowserve {
namespace {

constexpr uint32_t kInt8Levels = 255;

/// A row in eight bits is a frame of one token.
FrameShape int8_row_shape(const KvGeometry& geometry) {
  return {QuantizerId::kTokenSym, PackingId::kBytes, geometry.element, kInt8Levels, 1, geometry.channels(), 0,
          geometry.head_dim};
}

}  // namespace

void choose_kept(std::span<const float> likeness, uint32_t first_position, uint32_t sinks, LayerKept& kept) {
  kept.exact_count = first_position == 0 ? 1 : 0;
  const auto begin = static_cast<uint16_t>(kept.exact_count);
  const auto tokens = static_cast<uint32_t>(likeness.size());
  kept.int8_count = std::min(sinks, tokens - begin);
  // The best so far, best first; there are few.
  uint32_t have = 0;
  for (uint16_t token = begin; token < tokens && kept.int8_count > 0; ++token) {
    uint32_t at = have;
    while (at > 0 && likeness[kept.int8[at - 1]] < likeness[token]) --at;
    if (at == kept.int8_count) continue;
    have = std::min(have + 1, kept.int8_count);
    std::copy_backward(kept.int8 + at, kept.int8 + have - 1, kept.int8 + have);
    kept.int8[at] = token;
  }
  std::sort(kept.int8, kept.int8 + kept.int8_count);
}

size_t LayerKept::within(TokenRun tokens, std::span<uint16_t> out) const {
  size_t count = 0;
  if (exact_count > 0 && tokens.first == 0) out[count++] = 0;
  for (const uint16_t token : std::span(int8).first(int8_count)) {
    if (token >= tokens.first && token - tokens.first < tokens.count)
      out[count++] = static_cast<uint16_t>(token - tokens.first);
  }
  return count;
}

size_t write_kept_rows(const LayerKept& kept, std::span<const Patch> patches, const KvGeometry& geometry,
                       TokenRun tokens, const uint8_t* values, std::span<std::byte> room) {
  uint16_t all[kChunkTokensMax + 1];
  const auto rows = std::span(all).first(kept.within(tokens, all));
  const auto exact = rows.first(kept.exact_count > 0 && tokens.first == 0 ? 1 : 0);
  const auto int8 = rows.subspan(exact.size());
  const auto before = [](const Patch& patch, uint32_t token) { return patch.token < token; };
  const auto first = std::lower_bound(patches.begin(), patches.end(), tokens.first, before);
  const auto last = std::lower_bound(first, patches.end(), tokens.first + tokens.count, before);
  const auto is_kept = [&](const Patch& patch) {
    return std::find(rows.begin(), rows.end(), patch.token - tokens.first) != rows.end();
  };
  KeptRowsHead head;
  head.exact_rows = static_cast<uint16_t>(exact.size());
  head.int8_rows = static_cast<uint16_t>(int8.size());
  head.patches = static_cast<uint32_t>(std::count_if(first, last, std::not_fn(is_kept)));
  const size_t bytes = KeptRows::bytes(head, geometry);
  if (bytes > room.size()) return 0;

  const size_t channels = geometry.channels(), row_bytes = channels * kElementBytes;
  const uint8_t* const frame = values + tokens.first * row_bytes;
  auto* const region = reinterpret_cast<uint8_t*>(room.data());
  std::memcpy(region, &head, sizeof head);
  const KeptRows places = KeptRows::at(region, head, geometry);
  const auto writable = [region](const uint8_t* place) { return region + (place - region); };
  for (size_t i = 0; i < exact.size(); ++i) {
    store16(writable(places.exact_tokens), i, exact[i]);
    std::memcpy(writable(places.exact_elements) + i * row_bytes, frame + exact[i] * row_bytes, row_bytes);
  }
  for (size_t i = 0; i < int8.size(); ++i) {
    store16(writable(places.int8_tokens), i, int8[i]);
    quantize_frame_simd(int8_row_shape(geometry), frame + int8[i] * row_bytes,
                        writable(places.int8_symbols) + i * channels,
                        writable(places.int8_scales) + i * geometry.kv_heads * 2);
  }
  uint8_t* patch_at = writable(places.patches);
  for (const Patch& patch : std::span(first, last)) {
    if (is_kept(patch)) continue;
    const Patch in_frame{static_cast<uint16_t>(patch.token - tokens.first), patch.channel, patch.element};
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
