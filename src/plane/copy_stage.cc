// Hands copies to the engine and collects them when they are done.
#include "plane/copy_stage.h"

#include "plane/session.h"

namespace shadowserve {

void CopyStage::begin(Slot& slot) {
  const size_t bytes = slot.shape.value_bytes();
  std::byte* staging = slot.session->staging(slot.request.staging_offset, bytes);
  std::byte* values = slot.values.data();
  const bool deliver = direction_ == CopyDirection::kDeliver;
  const auto accepted =
      engine_.submit({deliver ? staging : values, deliver ? values : staging, bytes, slot.index});
  if (!accepted) finish(slot, accepted.error());
}

uint32_t CopyStage::poll_work() {
  CopyDone done[16];
  const size_t count = engine_.poll(done);
  for (size_t i = 0; i < count; ++i) {
    Slot& slot = pool_.at(static_cast<uint32_t>(done[i].ticket));
    counters_.bytes_in.add(slot.shape.value_bytes());
    counters_.bytes_out.add(slot.shape.value_bytes());
    counters_.bytes_moved.add(2 * slot.shape.value_bytes());
    finish(slot, done[i].error);
  }
  return static_cast<uint32_t>(count);
}

}  // namespace shadowserve
