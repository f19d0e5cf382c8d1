// Opens the record (every check of hostile bytes happens there), then gives the engine all frames at once.
#include "plane/decompress/decompress_stage.h"

#include "plane/session.h"

namespace shadowserve {

void DecompressStage::begin(Slot& slot) {
  const auto opened = open_record(slot.record.first(slot.record_bytes), slot.shape, slot.request.key,
                                  slot.session->seal(), slot.view);
  if (!opened) {
    finish(slot, opened.error());
    return;
  }
  slot_ = &slot;
  next_ = submitted_ = finished_ = 0;
  error_ = Error::kNone;
  submit_frames();
}

// As many as the engine takes: a hardware engine works on them side by side, and the software one decodes
// several Deflate frames at once. Neither works here, and poll() is bounded: the stages that share this
// thread - receiving first of all - must not wait. Calibrated frames are decoded in one pass, by the next
// stage.
void DecompressStage::submit_frames() {
  for (; next_ < slot_->view.frame_count(); ++next_) {
    const RecordView::Frame& frame = slot_->view.frame(next_);
    if (quantizer_of(frame.entry) == QuantizerId::kCalibrated) continue;
    const auto symbols = slot_->symbols.subspan(frame.symbol_offset, frame.entry.symbol_bytes);
    const auto accepted = engine_.submit({frame.entry.coder, frame.coded, symbols, slot_->index});
    if (!accepted) {
      // A busy engine is asked again in the next step.
      if (accepted.error() != Error::kNoCapacity) error_ = accepted.error();
      return;
    }
    ++submitted_;
    counters_.bytes_in.add(frame.coded.size());
    counters_.bytes_out.add(symbols.size());
    counters_.bytes_moved.add(frame.coded.size() + symbols.size());
  }
}

uint32_t DecompressStage::poll_work() {
  if (slot_ == nullptr) return 0;
  InflateDone done[16];
  const size_t count = engine_.poll(done);
  for (size_t i = 0; i < count; ++i) {
    ++finished_;
    if (done[i].error != Error::kNone) error_ = done[i].error;
  }
  // What the engine has it must give back; what it has not it need not get any more.
  const bool late = error_ == Error::kNone && clock_.now_ns() >= slot_->request.deadline_ns;
  if (late && next_ < slot_->view.frame_count()) error_ = Error::kDeadline;
  if (error_ == Error::kNone) submit_frames();
  const bool more = error_ == Error::kNone && next_ < slot_->view.frame_count();
  const bool working = more || finished_ < submitted_;
  if (!working) {
    Slot& slot = *slot_;
    slot_ = nullptr;
    finish(slot, error_);
  }
  return static_cast<uint32_t>(count) + (working ? 1 : 0);  // a loop with work in its engine must not sleep
}

}  // namespace shadowserve
