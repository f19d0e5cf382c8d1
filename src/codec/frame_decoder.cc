// Row by row where the coder can stop anywhere, frame by frame where it cannot.
#include "codec/frame_decoder.h"

#include <algorithm>
#include <numeric>

#include "codec/frame_kernel.h"
#include "codec/rans/rans_frame.h"
#include "contract/check.h"

namespace shadowserve {
namespace {

// Symbols decoded before they are dequantized: with the values' scales they fit L1 together.
constexpr size_t kTileSymbols = 4096;
constexpr size_t kTileSymbolsMax = 64 << 10;

/// Rows at a time whose symbols are whole groups of the coder's lanes; 0 when that would be too many.
size_t rows_per_tile(size_t channels) {
  const size_t unit = kRansLanes / std::gcd(size_t{kRansLanes}, channels);
  if (unit * channels > kTileSymbolsMax) return 0;
  return unit * std::max<size_t>(1, kTileSymbols / (unit * channels));
}

}  // namespace

struct FrameDecoder::State {
  RansReader rans;
  ScaleCache cache;
  alignas(64) uint8_t symbols[kFrameBytesMax + kRegionSlack];
};

FrameDecoder::FrameDecoder(CoderWorkspace& workspace)
    : workspace_(workspace), state_(std::make_unique<State>()) {}
FrameDecoder::~FrameDecoder() = default;

Result<void> FrameDecoder::decode(const RecordView& view, uint32_t frame, std::span<std::byte> values,
                                  ValueStores stores) {
  SS_CHECK(frame < view.frame_count(), "the view has this frame");
  const RecordView::Frame& piece = view.frame(frame);
  const FrameEntry& entry = piece.entry;
  const FrameShape shape = FrameShape::of(entry, view.shape().geometry);
  const size_t row_bytes = size_t{shape.channels} * kElementBytes;
  SS_CHECK(piece.value_offset + shape.tokens * row_bytes <= values.size(), "values are the whole part's");
  auto* const to = reinterpret_cast<uint8_t*>(values.data()) + piece.value_offset;
  const auto* const scales = reinterpret_cast<const uint8_t*>(piece.scales.data());
  const bool stream = stores == ValueStores::kStreaming;
  uint8_t* const symbols = state_->symbols;

  const bool rans = static_cast<CoderId>(entry.coder) == CoderId::kRans && shape.packing == PackingId::kBytes;
  const size_t rows_at_once = rans ? rows_per_tile(shape.channels) : 0;
  if (rows_at_once > 0) {
    RansReader& reader = state_->rans;
    if (auto opened = reader.open(piece.coded, entry.symbol_bytes); !opened) return opened;
    if (reader.read_rows(shape, scales, to, state_->cache, stream)) return reader.finish();
    if (reader.divides(rows_at_once * shape.channels)) {
      state_->cache.scales = nullptr;
      for (size_t row = 0; row < shape.tokens; row += rows_at_once) {
        const size_t rows = std::min<size_t>(rows_at_once, shape.tokens - row);
        reader.next(symbols, rows * shape.channels);
        dequantize_rows_simd(shape, row, rows, symbols, scales, to + row * row_bytes, state_->cache, stream);
      }
      return reader.finish();
    }
  }
  if (static_cast<CoderId>(entry.coder) == CoderId::kNone) {
    if (piece.coded.size() != entry.symbol_bytes) return fail(Error::kRecordMalformed);
    dequantize_frame_simd(shape, reinterpret_cast<const uint8_t*>(piece.coded.data()), scales, to, stream);
    return {};
  }
  const auto all = std::as_writable_bytes(std::span(state_->symbols)).first(entry.symbol_bytes);
  if (auto done = workspace_.decode(static_cast<CoderId>(entry.coder), piece.coded, all); !done) return done;
  dequantize_frame_simd(shape, symbols, scales, to, stream);
  return {};
}

}  // namespace shadowserve
