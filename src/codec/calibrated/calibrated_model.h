// A calibration at one of its points, spread into the arrays that kernels read.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "codec/calibrated/aligned_floats.h"
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

/// How a processor that looks bytes up in a register finds the symbols of 64 channels in a row: from `window`
/// on, 128 places at a time.
struct BlockLookup {
  uint16_t window = 0;  ///< a multiple of 64
  uint16_t reaches = 0;
  uint32_t masks = 0;  ///< of its first mask
};

/// One plane. All spans are [channel] but `runs`.
///
/// Channels have places in the order of their classes. In a coded frame symbols stand by class, then by
/// token, then by place: a segment of each run. Decoded they stand in rows, [token][place].
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

  /// Of each 64 channels: where to look, for each channel the low seven bits of its place behind the window,
  /// and for every 128 places which of the channels are found there. Empty where channels are no whole
  /// blocks.
  std::span<const BlockLookup> lookups;
  std::span<const uint8_t> lookup_places;
  std::span<const uint64_t> lookup_masks;
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
  AlignedFloats steps_, means_, offsets_;  ///< [plane][channel]
  std::vector<float> sink_keys_;           ///< [layer][channel]
  std::vector<uint16_t> places_;           ///< [plane][channel]
  std::vector<ClassRun> runs_;             ///< [plane][kCalibrationClassesMax]
  struct Lookups {
    std::vector<BlockLookup> blocks;
    std::vector<uint8_t> places;
    std::vector<uint64_t> masks;
  };
  std::vector<Lookups> lookups_;  ///< [plane]
};

}  // namespace shadowserve
