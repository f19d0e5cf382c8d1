// Asks the store and notes what came back.
#include "plane/receive/receive_stage.h"

#include "plane/session.h"

namespace shadowserve {

void ReceiveStage::begin(Slot& slot) {
  const StoreKey key(slot.request.key, slot.request.part);
  const auto accepted = store_.get(slot.index, key, slot.record, slot.request.deadline_ns);
  if (!accepted) finish(slot, accepted.error());
}

uint32_t ReceiveStage::poll_work() {
  StoreDone done[16];
  const size_t count = store_.poll(done);
  for (size_t i = 0; i < count; ++i) {
    Slot& slot = pool_.at(static_cast<uint32_t>(done[i].ticket));
    slot.record_bytes = done[i].bytes;
    slot.store_ns = clock_.now_ns() - slot.queued_ns;
    counters_.bytes_in.add(done[i].bytes);
    counters_.bytes_out.add(done[i].bytes);
    counters_.bytes_moved.add(done[i].bytes);  // written once; what a store library copies before is its own
    finish(slot, done[i].error);
  }
  return static_cast<uint32_t>(count);
}

}  // namespace shadowserve
