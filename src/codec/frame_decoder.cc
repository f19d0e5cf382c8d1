// Row by row where the coder can stop anywhere, frame by frame where it cannot.
#include "codec/frame_decoder.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "codec/calibrated/calibrated_kernel.h"
#include "codec/frame_kernel.h"
#include "codec/kept_row_values.h"
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
  ChunkTurns turns;
  alignas(64) uint8_t symbols[kFrameBytesMax + kRegionSlack];
};

FrameDecoder::FrameDecoder(CoderWorkspace& workspace)
    : workspace_(workspace), state_(std::make_unique<State>()) {}
FrameDecoder::~FrameDecoder() = default;

Result<void> FrameDecoder::decode(const RecordView& view, uint32_t frame, std::span<std::byte> values,
                                  ValueStores stores, const CalibratedModel* model) {
  SS_CHECK(frame < view.frame_count(), "the view has this frame");
  const RecordView::Frame& piece = view.frame(frame);
  const KvGeometry& geometry = view.shape().geometry;
  const size_t bytes = piece.entry.token_count * geometry.row_bytes();
  SS_CHECK(piece.value_offset + bytes <= values.size(), "values are the whole part's");
  auto* const to = reinterpret_cast<uint8_t*>(values.data()) + piece.value_offset;
  const bool stream = stores == ValueStores::kStreaming;
  const auto done = quantizer_of(piece.entry) == QuantizerId::kCalibrated
                        ? decode_calibrated(view, piece, to, stream, model)
                        : decode_symbols(piece, FrameShape::of(piece.entry, geometry), to, stream);
  if (done) put_kept_rows_behind(piece, geometry, to, stream);
  return done;
}

Result<void> FrameDecoder::decode_symbols(const RecordView::Frame& piece, const FrameShape& shape,
                                          uint8_t* to, bool stream) {
  const FrameEntry& entry = piece.entry;
  const size_t row_bytes = size_t{shape.channels} * kElementBytes;
  const auto* const scales = reinterpret_cast<const uint8_t*>(piece.scales.data());
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

Result<void> FrameDecoder::symbol_rows(const RecordView::Frame& piece, const CalibratedPlane& plane,
                                       const RansTableSet& tables) {
  const FrameEntry& entry = piece.entry;
  const bool coded = static_cast<CoderId>(entry.coder) == CoderId::kRans;
  RansReader& reader = state_->rans;
  if (coded) {
    if (auto opened = reader.open(piece.coded, entry.symbol_bytes, &tables); !opened) return opened;
  }
  const auto* from = reinterpret_cast<const uint8_t*>(piece.coded.data());
  for (const ClassRun& run : plane.runs) {
    const SymbolRows rows{state_->symbols + run.first, plane.channels, run.channels, entry.token_count};
    if (coded) {
      if (auto read = reader.next_rows(rows); !read) return read;
      continue;
    }
    for (size_t t = 0; t < rows.count; ++t, from += rows.width)
      std::memcpy(rows.first + t * rows.row_bytes, from, rows.width);
  }
  if (!coded) return {};
  if (reader.has_segment()) return fail(Error::kRecordMalformed);
  return reader.finish();
}

Result<void> FrameDecoder::decode_calibrated(const RecordView& view, const RecordView::Frame& piece,
                                             uint8_t* values, bool stream, const CalibratedModel* model) {
  if (model == nullptr || model->geometry() != view.shape().geometry) return fail(Error::kUnsupported);
  const FrameEntry& entry = piece.entry;
  const CalibratedPlane& plane = model->plane(entry.plane);
  if (auto read = symbol_rows(piece, plane, model->tables()); !read) return read;
  TurnRows turns;
  if (plane.turns != nullptr) {
    turns = state_->turns.at(*plane.turns, view.shape().first_position, entry.token_first, entry.token_count);
  }
  dequantize_calibrated_simd(plane, entry.token_count, turns, state_->symbols, values, stream);
  return {};
}

}  // namespace shadowserve
