// Hands the record to the store and notes how that ended.
#include "plane/send/send_stage.h"

namespace shadowserve {

void SendStage::begin(Slot& slot) {
  const StoreKey key(slot.request.key, slot.request.part);
  const auto accepted =
      store_.put(slot.index, key, slot.record.first(slot.record_bytes), slot.request.deadline_ns);
  if (!accepted) finish(slot, accepted.error());
}

uint32_t SendStage::poll_work() {
  StoreDone done[16];
  const size_t count = store_.poll(done);
  for (size_t i = 0; i < count; ++i) {
    Slot& slot = pool_.at(static_cast<uint32_t>(done[i].ticket));
    slot.store_ns = clock_.now_ns() - slot.queued_ns;
    counters_.bytes_in.add(slot.record_bytes);
    counters_.bytes_out.add(slot.record_bytes);
    finish(slot, done[i].error);
  }
  return static_cast<uint32_t>(count);
}

}  // namespace shadowserve
