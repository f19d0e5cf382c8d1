// Runs the codec's dequantizer a frame at a time, so that stages on the same thread take turns.
#include "plane/dequantize/dequantize_stage.h"

#include "plane/session.h"

namespace shadowserve {

void DequantizeStage::begin(Slot& slot) {
  slot_ = &slot;
  next_frame_ = 0;
}

Result<void> DequantizeStage::dequantize(const RecordView::Frame& frame, std::span<std::byte> values) {
  const bool calibrated = quantizer_of(frame.entry) == QuantizerId::kCalibrated;
  const size_t read = calibrated ? frame.coded.size() : frame.entry.symbol_bytes;
  counters_.bytes_in.add(read + frame.scales.size());
  counters_.bytes_moved.add(read);
  if (calibrated) {
    return decoder_.decode(slot_->view, next_frame_, values, ValueStores::kCached,
                           slot_->session->profile().model);
  }
  const auto symbols = slot_->symbols.subspan(frame.symbol_offset, frame.entry.symbol_bytes);
  return dequantize_frame(slot_->view, next_frame_, symbols, values);
}

uint32_t DequantizeStage::poll_work() {
  if (slot_ == nullptr) return 0;
  Slot& slot = *slot_;
  const auto values = slot.values.first(slot.shape.value_bytes());
  const auto done = dequantize(slot.view.frame(next_frame_), values);
  ++next_frame_;
  if (done && next_frame_ < slot.view.frame_count()) return 1;
  counters_.bytes_out.add(values.size());
  counters_.bytes_moved.add(values.size());
  slot_ = nullptr;
  finish(slot, done ? Error::kNone : done.error());
  return 1;
}

}  // namespace shadowserve
