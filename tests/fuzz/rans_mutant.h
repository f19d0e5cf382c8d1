// One hostile rANS frame through every SIMD target: verdict and symbols must be the same everywhere.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "codec/rans/rans_frame.h"
#include "contract/check.h"
#include "hwy/highway.h"

namespace shadowserve {

/// What the frame says it holds, so that it can be asked for it; within what a test has time for.
inline size_t rans_symbols_in(std::span<const std::byte> coded) {
  constexpr size_t kSymbolsMax = 1 << 14;
  size_t at = 8, sum = 0;
  for (uint32_t i = 0; i < kRansSegmentsMax && at + 8 <= coded.size(); ++i) {
    uint32_t symbols, segments;
    std::memcpy(&segments, coded.data(), sizeof segments);
    if (i >= segments) break;
    std::memcpy(&symbols, coded.data() + at, sizeof symbols);
    sum = std::min<size_t>(kSymbolsMax, sum + symbols);
    at += 8 + static_cast<size_t>(coded[at + 5]);
  }
  return sum;
}

/// The symbols, or nothing when the frame is refused. Buffers are exactly as large as they must be: a
/// sanitizer sees the byte beyond.
inline std::optional<std::vector<uint8_t>> read_rans(const std::vector<std::byte>& coded, size_t symbols,
                                                     size_t piece) {
  RansReader reader;
  std::vector<uint8_t> read(symbols);
  if (!reader.open(coded, symbols)) return std::nullopt;
  if (!reader.divides(piece)) piece = symbols;
  for (size_t i = 0; i < symbols; i += piece) reader.next(read.data() + i, std::min(piece, symbols - i));
  if (!reader.finish()) return std::nullopt;
  return read;
}

/// The same as values of a cache with rows of 128 channels; the symbols' oracle says what they must be.
inline void check_rows(const std::vector<std::byte>& coded,
                       const std::optional<std::vector<uint8_t>>& symbols, size_t count) {
  if (count % kRansLanes != 0) return;
  FrameShape shape;
  shape.quantizer = QuantizerId::kTokenSym;
  shape.packing = PackingId::kBytes;
  shape.levels = 31;
  shape.tokens = static_cast<uint32_t>(count / kRansLanes);
  shape.channels = shape.group_channels = kRansLanes;
  std::vector<uint8_t> scales(size_t{2} * shape.tokens, 0x3d), values(2 * count), expected(2 * count);
  static ScaleCache& cache = *new ScaleCache;
  RansReader reader;
  if (!reader.open(coded, count)) return;
  if (!reader.read_rows(shape, scales.data(), values.data(), cache, /*stream=*/false)) return;
  SS_CHECK(reader.finish().has_value() == symbols.has_value(), "rows have the symbols' verdict");
  if (!symbols) return;
  dequantize_frame_oracle(shape, symbols->data(), scales.data(), expected.data());
  SS_CHECK(values == expected, "rows have the symbols' values");
}

/// True when the frame was taken. Aborts when two targets, or two ways to ask, disagree.
inline bool decode_rans_mutant(std::span<const std::byte> bytes) {
  const std::vector<std::byte> coded(bytes.begin(), bytes.end());
  const size_t symbols = rans_symbols_in(coded);
  if (symbols == 0) return false;
  const auto expected = read_rans(coded, symbols, symbols);  // on the best target
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    SS_CHECK(read_rans(coded, symbols, symbols) == expected, "all targets give the same");
    SS_CHECK(read_rans(coded, symbols, 256) == expected, "in pieces as well");
    check_rows(coded, expected, symbols);
  }
  hwy::SetSupportedTargetsForTest(0);
  return expected.has_value();
}

}  // namespace shadowserve
