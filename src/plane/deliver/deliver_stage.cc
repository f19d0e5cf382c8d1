// One copy a slot: a part is at most 2 MiB, the size at which DMA engines reach their full rate.
#include "plane/deliver/deliver_stage.h"

#include "plane/session.h"

namespace shadowserve {

void DeliverStage::begin(Slot& slot) {
  const size_t bytes = slot.shape.value_bytes();
  std::byte* to = slot.session->staging(slot.request.staging_offset, bytes);
  const auto accepted = engine_.submit({to, slot.values.data(), bytes, slot.index});
  if (!accepted) finish(slot, accepted.error());
}

uint32_t DeliverStage::poll_work() {
  CopyDone done[16];
  const size_t count = engine_.poll(done);
  for (size_t i = 0; i < count; ++i) {
    Slot& slot = pool_.at(static_cast<uint32_t>(done[i].ticket));
    counters_.bytes_in.add(slot.shape.value_bytes());
    counters_.bytes_out.add(slot.shape.value_bytes());
    finish(slot, done[i].error);
  }
  return static_cast<uint32_t>(count);
}

}  // namespace shadowserve
