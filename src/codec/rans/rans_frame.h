// Frames coded with rANS (docs/formats/rans.md): segments with tables, 128 states, literals, then the stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "codec/rans/rans_rows.h"
#include "contract/result.h"

namespace shadowserve {

/// Runs of symbols that share a table follow each other in a frame; the calibrated profiles have one a
/// channel class.
inline constexpr uint32_t kRansSegmentsMax = 16;
inline constexpr size_t kRansFixedBytes = 8;
inline constexpr size_t kRansSegmentBytes = 8;  ///< without its frequencies

struct RansSegment {
  uint32_t symbols = 0;
  RansTable table;
  /// The table's number in the set that writer and reader share; without one the table travels in the frame.
  std::optional<uint8_t> shared;
};

/// Tables that writer and reader share, spread for decoders once. Immutable, any thread.
struct RansTableSet {
  std::vector<RansTable> tables;
  std::vector<RansLookup> lookups;

  RansTableSet() = default;
  /// REQUIRES valid tables, at most 256.
  explicit RansTableSet(std::vector<RansTable> valid);
};

/// Writes one frame. Returns its size. Errors: kNoCapacity when `coded` is too small (128 bytes to spare may
/// be asked for). REQUIRES that the segments' symbols sum up to symbols.size(), and that each table encodes
/// its symbols. No allocation.
Result<size_t> write_rans_frame(std::span<const RansSegment> segments, std::span<const std::byte> symbols,
                                std::span<std::byte> coded);

/// The same with one segment and a table fitted to it.
Result<size_t> write_rans_frame(std::span<const std::byte> symbols, std::span<std::byte> coded);

/// Reads one hostile frame piece by piece, so that symbols can be used while they are still in the nearest
/// cache. open(), then next() until all symbols were asked for, then finish(), which alone says whether they
/// were right: nothing may be done with them before that cannot be undone. No allocation, one thread.
class RansReader {
 public:
  RansReader() = default;
  RansReader(const RansReader&) = delete;
  RansReader& operator=(const RansReader&) = delete;

  /// `coded` and `shared`, the tables that frames may name by number, must outlive the reading. Errors:
  /// kRecordMalformed, kUnsupported for a table that is not in the set.
  Result<void> open(std::span<const std::byte> coded, size_t symbols, const RansTableSet* shared = nullptr);
  /// The next `count` symbols. REQUIRES open() succeeded; that many are left; and that `count` is a multiple
  /// of kRansLanes unless it ends the frame or the frame has several segments and `count` ends one of them.
  void next(uint8_t* symbols, size_t count);
  /// True when `count` symbols at a time, the last time fewer, can be asked for.
  bool divides(size_t count) const { return segment_count_ == 1 && count % kRansLanes == 0; }
  /// All of it as rows of values, where there is a kernel for that: see rans_rows.h. REQUIRES open() just
  /// succeeded.
  bool read_rows(const FrameShape& shape, const uint8_t* scales, uint8_t* values, ScaleCache& cache,
                 bool stream);
  /// open(), next() and finish() in one.
  Result<void> read_all(std::span<const std::byte> coded, std::span<std::byte> symbols);
  /// The next segment, whole, as rows. Errors: kRecordMalformed when it has not width x count symbols.
  /// REQUIRES that a segment was finished or none begun.
  Result<void> next_rows(const SymbolRows& rows);
  /// True while a segment is left.
  bool has_segment() const { return segment_left_ > 0 || segment_ + 1 < segment_count_; }
  /// Errors: kRecordMalformed when the frame ended too early or too late, or in other states than it began
  /// with.
  Result<void> finish() const;

 private:
  Result<void> read_segment(std::span<const std::byte> coded, size_t& at, RansSegment& segment);
  void begin_segment(uint32_t index);
  RansSegment segments_[kRansSegmentsMax];
  uint32_t segment_count_ = 0;
  uint32_t segment_ = 0;
  size_t segment_left_ = 0;
  const RansTableSet* shared_ = nullptr;
  RansLookup own_lookup_{RansTable::uniform()};  ///< of a table that travels in the frame
  const RansLookup* lookup_ = &own_lookup_;      ///< of the segment that is read
  RansReading reading_{};
};

}  // namespace shadowserve
