// What surrounds the kernels: order of classes, wide values, sinks.
#include "codec/calibrated/calibrated_frames.h"

#include <algorithm>
#include <cstring>

#include "chunk/bits16.h"
#include "chunk/record_frames.h"

namespace shadowserve {
namespace {

bool bit(const uint8_t* bits, uint32_t index) { return (bits[index / 8] >> index % 8 & 1) != 0; }

/// The channel that turns together with this one; itself where it does not turn.
uint32_t partner_of(const CalibratedPlane& plane, uint32_t channel) {
  if (plane.turns == nullptr) return channel;
  const uint32_t dim = channel % plane.head_dim, pairs = plane.turns->pairs();
  if (dim >= 2 * pairs) return channel;
  if (plane.turns->pairing() == RotationPairing::kNeighbours) return channel ^ 1;
  return dim < pairs ? channel + pairs : channel - pairs;
}

/// Elements that were rotated together are stored together: one wrong half would spoil both.
void note_patches(const CalibratedPlane& plane, uint32_t token, const uint8_t* values,
                  const QuantizedRow& row, QuantizedPlane& out) {
  for (uint32_t channel = 0; channel < plane.channels; ++channel) {
    if (!bit(row.wide, channel) && !bit(row.wide, partner_of(plane, channel))) continue;
    if (out.patch_count == kPatchesMax) {
      out.too_wide = true;
      return;
    }
    out.patches[out.patch_count++] = {static_cast<uint16_t>(token), static_cast<uint16_t>(channel),
                                      load16(values, channel)};
  }
}

/// A token's symbols to their places in its frame.
void place_row(const CalibratedPlane& plane, TokenRun frame, uint32_t token, const uint8_t* by_channel,
               uint8_t* symbols) {
  uint8_t by_class[CalibratedModel::kChannelsMax];
  for (uint32_t channel = 0; channel < plane.channels; ++channel)
    by_class[plane.places[channel]] = by_channel[channel];
  for (const ClassRun& run : plane.runs) {
    std::memcpy(symbols + size_t{frame.count} * run.first + size_t{token - frame.first} * run.channels,
                by_class + run.first, run.channels);
  }
}

/// The frame of a token, and where its symbols begin in the plane's.
TokenRun frame_of(const KvGeometry& geometry, uint32_t token, size_t& symbols_at) {
  const uint32_t step = calibrated_tokens_per_frame(geometry);
  const uint32_t first = token / step * step;
  symbols_at = first / step * align_up(size_t{step} * geometry.channels(), kSymbolAlign);
  return {first, std::min(step, geometry.chunk_tokens - first)};
}

}  // namespace

uint32_t calibrated_tokens_per_frame(const KvGeometry& geometry) {
  return static_cast<uint32_t>(std::min<size_t>(kFrameBytesMax / geometry.channels(), geometry.chunk_tokens));
}

size_t calibrated_symbol_bytes(const KvGeometry& geometry) {
  const uint32_t step = calibrated_tokens_per_frame(geometry), tokens = geometry.chunk_tokens;
  return tokens / step * align_up(size_t{step} * geometry.channels(), kSymbolAlign) +
         align_up(size_t{tokens % step} * geometry.channels(), kSymbolAlign);
}

void quantize_plane(const CalibratedPlane& plane, const KvGeometry& geometry, const Turn& chunk,
                    const uint8_t* values, uint8_t* symbols, QuantizedPlane& out) {
  const size_t row_bytes = size_t{plane.channels} * kElementBytes;
  QuantizedRow row;
  out.patch_count = 0;
  out.too_wide = false;
  for (uint32_t token = 0; token < geometry.chunk_tokens; ++token) {
    quantize_calibrated_simd(plane, token, chunk, values + token * row_bytes, row);
    out.cosines[token] = row.cosine;
    size_t symbols_at;
    const TokenRun frame = frame_of(geometry, token, symbols_at);
    place_row(plane, frame, token, row.symbols, symbols + symbols_at);
    if (row.any_wide && !out.too_wide) note_patches(plane, token, values + token * row_bytes, row, out);
  }
}

void blank_kept(const CalibratedPlane& plane, const KvGeometry& geometry, const LayerKept& kept,
                uint8_t* symbols) {
  const auto blank = [&](uint32_t token) {
    size_t symbols_at;
    const TokenRun frame = frame_of(geometry, token, symbols_at);
    for (const ClassRun& run : plane.runs) {
      uint8_t* const from =
          symbols + symbols_at + size_t{frame.count} * run.first + size_t{token - frame.first} * run.channels;
      std::memset(from, run.cheapest, run.channels);
    }
  };
  if (kept.exact_count > 0) blank(0);
  std::for_each(kept.int8, kept.int8 + kept.int8_count, blank);
}

}  // namespace shadowserve
