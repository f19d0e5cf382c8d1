// Stage 3 of a fetch: symbols and scales to values in the canonical layout. Calibrated frames come here
// coded.
#pragma once

#include "codec/frame_decoder.h"
#include "plane/stage.h"

namespace shadowserve {

class DequantizeStage final : public SlotStage {
 public:
  /// `workspace` is used while a step runs.
  DequantizeStage(SlotPool& pool, const Clock& clock, CoderWorkspace& workspace)
      : SlotStage(pool, clock), decoder_(workspace) {}
  std::string_view name() const override { return "dequantize"; }

 protected:
  void begin(Slot& slot) override;
  uint32_t poll_work() override;
  bool ready() const override { return slot_ == nullptr; }

 private:
  Result<void> dequantize(const RecordView::Frame& frame, std::span<std::byte> values);
  FrameDecoder decoder_;
  Slot* slot_ = nullptr;
  uint32_t next_frame_ = 0;
};

}  // namespace shadowserve
