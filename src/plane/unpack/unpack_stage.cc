// Opens the record (every check of hostile bytes happens there), then works a frame at a step, so that stages
// on the same thread - receiving first of all - take turns.
#include "plane/unpack/unpack_stage.h"

#include "codec/frame_kernel.h"
#include "plane/session.h"

namespace shadowserve {

void UnpackStage::begin(Slot& slot) {
  begun_ns_ = clock_.now_ns();
  const auto opened = open_record(slot.record.first(slot.record_bytes), slot.shape, slot.request.key,
                                  slot.session->seal(), slot.view);
  counters_.bytes_in.add(slot.record_bytes);
  counters_.bytes_moved.add(slot.record_bytes);  // read for the seal
  if (!opened) {
    finish(slot, opened.error());
    return;
  }
  slot_ = &slot;
  const size_t bytes = slot.shape.value_bytes();
  const bool to_slot = slot.session->device() >= 0;
  values_ = to_slot ? slot.values.first(bytes)
                    : std::span(slot.session->staging(slot.request.staging_offset, bytes), bytes);
  // A DMA engine that reads them next finds them in the cache.
  stores_ = to_slot ? ValueStores::kCached : ValueStores::kStreaming;
  begun_ = ended_ = 0;
  error_ = Error::kNone;
}

uint32_t UnpackStage::poll_work() {
  if (slot_ == nullptr) return 0;
  submit_deflate_frames();
  uint32_t moved = collect_deflate_frames();
  if (begun_ == ended_ && may_begin() && !is_deflate(begun_)) {
    decode_frame();
    ++moved;
  }
  const bool working = may_begin() || ended_ < begun_;
  if (!working) end_slot();
  return moved + (working ? 1 : 0);  // a loop with work in its engine must not sleep
}

bool UnpackStage::is_deflate(uint32_t frame) const {
  return static_cast<CoderId>(slot_->view.frame(frame).entry.coder) == CoderId::kDeflate;
}

void UnpackStage::submit_deflate_frames() {
  for (; may_begin() && is_deflate(begun_); ++begun_) {
    const RecordView::Frame& frame = slot_->view.frame(begun_);
    const auto symbols = slot_->symbols.subspan(frame.symbol_offset, frame.entry.symbol_bytes);
    const auto accepted = inflate_.submit({frame.entry.coder, frame.coded, symbols, begun_});
    if (!accepted && accepted.error() != Error::kNoCapacity) error_ = accepted.error();
    if (!accepted) return;
  }
}

uint32_t UnpackStage::collect_deflate_frames() {
  if (ended_ == begun_) return 0;
  InflateDone done[16];
  const size_t count = inflate_.poll(done);
  for (size_t i = 0; i < count; ++i, ++ended_) {
    if (done[i].error != Error::kNone) {
      error_ = done[i].error;
      continue;
    }
    const auto index = static_cast<uint32_t>(done[i].ticket);
    const RecordView::Frame& frame = slot_->view.frame(index);
    const auto symbols = slot_->symbols.subspan(frame.symbol_offset, frame.entry.symbol_bytes);
    counters_.bytes_moved.add(frame.coded.size() + 2 * symbols.size());
    const auto made = dequantize_frame(slot_->view, index, symbols, values_, stores_);
    if (!made) error_ = made.error();
  }
  return static_cast<uint32_t>(count);
}

void UnpackStage::decode_frame() {
  const auto decoded =
      decoder_.decode(slot_->view, begun_, values_, stores_, slot_->session->profile().model);
  counters_.bytes_moved.add(slot_->view.frame(begun_).coded.size());
  if (!decoded) error_ = decoded.error();
  ++begun_;
  ++ended_;
}

size_t UnpackStage::output_for(const Slot& slot) {
  return slot.error == Error::kNone && slot.session->device() >= 0 ? kToDeliver : kDone;
}

void UnpackStage::end_slot() {
  Slot& slot = *slot_;
  slot_ = nullptr;
  finish_streaming();  // before the answer can be seen
  if (error_ == Error::kNone) {
    counters_.bytes_out.add(values_.size());
    counters_.bytes_moved.add(values_.size());
    speed_.note(slot.session->profile().id, values_.size(), clock_.now_ns() - begun_ns_);
  }
  finish(slot, error_);
}

}  // namespace shadowserve
