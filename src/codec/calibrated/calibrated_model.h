// A calibration at one of its points, spread into the arrays that kernels read.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "codec/calibrated/calibration.h"
#include "codec/calibrated/key_turns.h"
#include "codec/rans/rans_frame.h"

namespace shadowserve {

/// Channels of one class: they share a table. Their symbols stand together in a frame.
struct ClassRun {
  uint32_t first = 0;  ///< channels of the classes before
  uint32_t channels = 0;
  uint8_t table = 0;
  uint8_t cheapest = 0;  ///< the symbol with the fewest bits: what kept tokens have
};

/// Symbols of a class that belong to one group of 128 channels, at most 32.
struct SymbolPiece {
  uint16_t run;     ///< whose symbols
  uint16_t within;  ///< from which of the run's channels on
  uint16_t to;      ///< where in the row
};

/// One plane. All spans are [channel] but `runs`.
///
/// A frame's symbols stand by class, then by token, then by channel: a channel whose place is p, in the run r
/// with first <= p < first + channels, has for token t of the frame's `tokens` its symbol at
/// tokens * r.first + t * r.channels + p - r.first.
struct CalibratedPlane {
  uint32_t channels = 0;
  uint32_t head_dim = 0;
  ElementType element = ElementType::kBf16;
  std::span<const float> steps, means;
  std::span<const float> offsets;  ///< mean - 128 x step: what symbol 0 would stand for
  std::span<const uint16_t> places;
  std::span<const ClassRun> runs;
  std::span<const float> sink_key;  ///< of unit length; empty for values
  const KeyTurns* turns = nullptr;  ///< nullptr: not rotated

  /// A token's symbols put together for processors that look 64 of them up at once: pieces in the order in
  /// which they are copied, 32 bytes at a time, each over what the one before wrote too much; then for each
  /// channel where its symbol is among the 128 bytes of its group of 128 channels.
  std::span<const SymbolPiece> pieces;
  std::span<const uint8_t> lookups;
};

/// Immutable, any thread.
class CalibratedModel {
 public:
  /// The calibration at the point of that name, for chunks of this geometry. Errors: kConfig with a sentence:
  /// no such point, another model's geometry, planes of more than kChannelsMax channels, or K and V of a
  /// layer in different parts.
  static Result<std::shared_ptr<const CalibratedModel>> make(const Calibration& calibration,
                                                             std::string_view point,
                                                             const KvGeometry& geometry,
                                                             std::string& message);
  static constexpr uint32_t kChannelsMax = 4096;  ///< rows of floats live on stacks

  CalibratedModel(const CalibratedModel&) = delete;

  const KvGeometry& geometry() const { return geometry_; }
  /// REQUIRES plane < geometry().planes().
  const CalibratedPlane& plane(uint32_t plane) const { return planes_[plane]; }
  const RansTableSet& tables() const { return tables_; }
  const CalibrationHash& hash() const { return hash_; }
  std::string_view point() const { return point_; }
  /// Tokens of a chunk that are kept as sinks in each layer, besides the sequence's first.
  uint32_t sinks() const { return sinks_; }
  /// The segments of a frame of `tokens` tokens. Returns how many.
  uint32_t segments(uint32_t plane, uint32_t tokens, std::span<RansSegment, kRansSegmentsMax> out) const;

 private:
  CalibratedModel() = default;
  void spread_plane(const Calibration& calibration, uint32_t point, uint32_t plane);
  void spread_classes(const Calibration& calibration, uint32_t point, uint32_t plane);
  void spread_lookups(uint32_t plane);
  KvGeometry geometry_;
  std::string point_;
  CalibrationHash hash_{};
  uint32_t sinks_ = 0;
  RansTableSet tables_;
  std::vector<std::unique_ptr<KeyTurns>> turns_;
  std::vector<CalibratedPlane> planes_;
  std::vector<float> steps_, means_, offsets_;    ///< [plane][channel]
  std::vector<float> sink_keys_;                  ///< [layer][channel]
  std::vector<uint16_t> places_;                  ///< [plane][channel]
  std::vector<ClassRun> runs_;                    ///< [plane][kCalibrationClassesMax]
  std::vector<std::vector<SymbolPiece>> pieces_;  ///< [plane]
  std::vector<uint8_t> lookups_;                  ///< [plane][channel rounded up to 128]
};

}  // namespace shadowserve
