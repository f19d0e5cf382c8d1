// Decompression and dequantization in one pass: symbols never leave the nearest caches.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "codec/codec.h"

namespace shadowserve {

/// State of one worker, allocated at start, used by one thread.
class FrameDecoder {
 public:
  explicit FrameDecoder(CoderWorkspace& workspace);
  ~FrameDecoder();

  /// One hostile frame of an opened record -> its canonical values at their place in `values`, the whole
  /// part's region. Frames coded with rANS are decoded a few rows at a time, others into a buffer that stays
  /// in L2. On failure the frame's values hold anything. After kStreaming, finish_streaming()
  /// (frame_kernel.h) makes values visible to others. Errors: kRecordMalformed, kUnsupported.
  Result<void> decode(const RecordView& view, uint32_t frame, std::span<std::byte> values,
                      ValueStores stores);

 private:
  struct State;
  CoderWorkspace& workspace_;
  std::unique_ptr<State> state_;
};

}  // namespace shadowserve
