// Hands copies to the engine and collects them when they are done.
#include "plane/copy_stage.h"

#include <utility>

#include "contract/check.h"
#include "plane/session.h"

namespace shadowserve {

void CopyStage::begin(Slot& slot) { submit(slot); }

void CopyStage::submit(Slot& slot) {
  const size_t bytes = slot.shape.value_bytes();
  std::byte* staging = slot.session->staging(slot.request.staging_offset, bytes);
  std::byte* values = slot.values.data();
  const bool deliver = direction_ == CopyDirection::kDeliver;
  const int device = slot.session->device();
  CopyEngine* engine = engines_.at(device);
  SS_CHECK(engine != nullptr, "a session's device is prepared before it is opened");
  const auto accepted =
      engine->submit({deliver ? staging : values, deliver ? values : staging, bytes, slot.index});
  if (accepted) {
    ++under_way_[static_cast<size_t>(device + 1)];
  } else if (accepted.error() == Error::kNoCapacity) {
    waiting_ = &slot;
  } else {
    finish(slot, accepted.error());
  }
}

// The engine's completions come first: they may have made room.
uint32_t CopyStage::submit_waiting() {
  Slot* slot = std::exchange(waiting_, nullptr);
  if (slot == nullptr) return 0;
  if (clock_.now_ns() >= slot->request.deadline_ns) {
    finish(*slot, Error::kDeadline);
    return 1;
  }
  submit(*slot);
  return 1;  // also when it waits on: nobody rings a bell when the engine has room
}

uint32_t CopyStage::poll_work() {
  uint32_t moved = 0, waiting = 0;
  for (int device = CopyEngines::kHost; device < kDevicesMax; ++device) {
    uint32_t& under_way = under_way_[static_cast<size_t>(device + 1)];
    if (under_way == 0) continue;
    moved += poll_engine(device, under_way);
    waiting += under_way;
  }
  moved += submit_waiting();
  return moved + (waiting > 0 ? 1 : 0);  // an engine rings no bell: a loop with work in one must not sleep
}

uint32_t CopyStage::poll_engine(int device, uint32_t& under_way) {
  CopyDone done[16];
  const size_t count = engines_.at(device)->poll(done);
  for (size_t i = 0; i < count; ++i) {
    Slot& slot = pool_.at(static_cast<uint32_t>(done[i].ticket));
    counters_.bytes_in.add(slot.shape.value_bytes());
    counters_.bytes_out.add(slot.shape.value_bytes());
    counters_.bytes_moved.add(2 * slot.shape.value_bytes());
    finish(slot, done[i].error);
  }
  under_way -= static_cast<uint32_t>(count);
  return static_cast<uint32_t>(count);
}

}  // namespace shadowserve
