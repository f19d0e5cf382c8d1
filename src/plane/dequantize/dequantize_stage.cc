// Runs the codec's dequantizer a frame at a time, so that stages on the same thread take turns.
#include "plane/dequantize/dequantize_stage.h"

namespace shadowserve {

void DequantizeStage::begin(Slot& slot) {
  slot_ = &slot;
  next_frame_ = 0;
}

uint32_t DequantizeStage::poll_work() {
  if (slot_ == nullptr) return 0;
  Slot& slot = *slot_;
  const RecordView::Frame& frame = slot.view.frame(next_frame_);
  const auto symbols = slot.symbols.subspan(frame.symbol_offset, frame.entry.symbol_bytes);
  const auto values = slot.values.first(slot.shape.value_bytes());
  const auto done = dequantize_frame(slot.view, next_frame_, symbols, values);
  ++next_frame_;
  counters_.bytes_in.add(symbols.size() + frame.scales.size());
  if (done && next_frame_ < slot.view.frame_count()) return 1;
  counters_.bytes_out.add(values.size());
  counters_.bytes_moved.add(slot.view.symbol_bytes() + values.size());
  slot_ = nullptr;
  finish(slot, done ? Error::kNone : done.error());
  return 1;
}

}  // namespace shadowserve
