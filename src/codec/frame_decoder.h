// Decompression and dequantization in one pass: symbols never leave the nearest caches.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "codec/codec.h"
#include "codec/frame_kernel.h"

namespace shadowserve {

struct CalibratedPlane;

/// State of one worker, allocated at start, used by one thread.
class FrameDecoder {
 public:
  explicit FrameDecoder(CoderWorkspace& workspace);
  ~FrameDecoder();

  /// One hostile frame of an opened record -> its canonical values at their place in `values`, the whole
  /// part's region. Frames coded with rANS are decoded a few rows at a time, others into a buffer that stays
  /// in L2. On failure the frame's values hold anything. After kStreaming, finish_streaming()
  /// (frame_kernel.h) makes values visible to others. `model` is what calibrated frames need. Errors:
  /// kRecordMalformed, kUnsupported.
  Result<void> decode(const RecordView& view, uint32_t frame, std::span<std::byte> values, ValueStores stores,
                      const CalibratedModel* model = nullptr);

 private:
  Result<void> decode_symbols(const RecordView::Frame& piece, const FrameShape& shape, uint8_t* values,
                              bool stream);
  Result<void> decode_calibrated(const RecordView& view, const RecordView::Frame& piece, uint8_t* values,
                                 bool stream, const CalibratedModel* model);
  Result<void> symbol_rows(const RecordView::Frame& piece, const CalibratedPlane& plane,
                           const RansTableSet& tables);
  struct State;
  CoderWorkspace& workspace_;
  std::unique_ptr<State> state_;
};

}  // namespace shadowserve
