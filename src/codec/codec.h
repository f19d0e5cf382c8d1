// The codec's four steps on one part: quantize and compress to save, decompress and dequantize to fetch.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "chunk/record.h"
#include "codec/profile.h"
#include "codec/rans/rans_frame.h"

namespace shadowserve {

/// A part on its way out: filled by quantize_part(), read by compress_part(). Lives in a slot.
struct EncodePlan {
  PartShape shape;
  uint32_t frame_count = 0;
  FrameEntry frames[kFramesPerRecordMax] = {};
  size_t symbol_offset[kFramesPerRecordMax] = {};
  size_t scale_offset[kFramesPerRecordMax] = {};  ///< in the scale region
  size_t scale_bytes = 0;
};

/// Scales of any part fit here.
inline constexpr size_t kScaleBytesMax = kRecordOverheadMax;

/// Whether every part's scales fit a record: not those of small chunks of many channels, which have a step
/// for each of these however few tokens there are. REQUIRES profile.suits(geometry).
bool scales_fit(const Profile& profile, const KvGeometry& geometry);

/// Canonical values -> symbols and scales. A plane the profile cannot represent (NaN, infinity) is kept raw.
/// A calibrated profile needs its model and shape.first_position. `values` is shape.value_bytes() long;
/// `symbols` >= kSymbolBytesMax, `scales` >= kScaleBytesMax. Errors: kNoCapacity when scales would not fit,
/// kConfig without the model, or with a profile that does not suit the geometry. No
/// allocation.
Result<void> quantize_part(const Profile& profile, const PartShape& shape, std::span<const std::byte> values,
                           std::span<std::byte> symbols, std::span<std::byte> scales, EncodePlan& plan);

/// Coder state of one worker, allocated at start, used by one thread.
class CoderWorkspace {
 public:
  CoderWorkspace();
  ~CoderWorkspace();

  /// Codes one frame; a frame that would not shrink is stored with CoderId::kNone (coder is in/out).
  /// `segments` are rANS's; without any it fits a table to the frame. Returns the coded size. Errors:
  /// kNoCapacity when `coded` is too small.
  Result<size_t> encode(CoderId& coder, std::span<const std::byte> symbols, std::span<std::byte> coded,
                        std::span<const RansSegment> segments = {});
  /// Decodes one hostile frame to exactly symbols.size() bytes. Errors: kRecordMalformed, kUnsupported.
  Result<void> decode(CoderId coder, std::span<const std::byte> coded, std::span<std::byte> symbols);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Symbols and scales -> a sealed record in `record` (>= kRecordBytesMax). Returns its size.
Result<size_t> compress_part(const EncodePlan& plan, const Profile& profile, const ChunkKey& key,
                             SealKind seal_kind, const ChunkKey& seal, std::span<const std::byte> symbols,
                             std::span<const std::byte> scales, CoderWorkspace& workspace,
                             std::span<std::byte> record);

/// How values are written.
enum class ValueStores : uint8_t {
  kCached,     ///< for values that are read again soon by this core
  kStreaming,  ///< past the caches, for destinations in memory; saves reading lines only to overwrite them
};

/// Symbols of one frame -> its canonical values. REQUIRES a frame that is not calibrated: those are decoded
/// in one pass (frame_decoder.h). `values` is the whole part's region. Input is hostile: symbols outside the
/// alphabet are clamped. No allocation. Dispatched to the best SIMD target at run time. After kStreaming,
/// finish_streaming() (frame_kernel.h) makes values visible to others.
Result<void> dequantize_frame(const RecordView& view, uint32_t frame, std::span<const std::byte> symbols,
                              std::span<std::byte> values, ValueStores stores = ValueStores::kCached);

/// Whole trips on one thread, for tools, tests and benches. `record` >= kRecordBytesMax.
Result<size_t> encode_part(const Profile& profile, const PartShape& shape, const ChunkKey& key, SealKind kind,
                           const ChunkKey& seal, std::span<const std::byte> values,
                           std::span<std::byte> record);
/// `model` is that of calibrated frames; without it they are kUnsupported.
Result<void> decode_part(std::span<const std::byte> record, const PartShape& shape, const ChunkKey& key,
                         const ChunkKey& seal, std::span<std::byte> values,
                         const CalibratedModel* model = nullptr);

}  // namespace shadowserve
