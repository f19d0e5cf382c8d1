// Asks the store and notes what came back.
#include "plane/receive/receive_stage.h"

#include "plane/session.h"

namespace shadowserve {

void ReceiveStage::begin(Slot& slot) {
  const StoreKey key(slot.request.key, slot.request.part);
  const auto accepted = store_.get(slot.index, key, slot.record, slot.request.deadline_ns);
  if (!accepted) finish(slot, accepted.error());
}

// A record that this thread unpacks itself keeps it from receiving. So its own lane, the first one, only
// helps when the others are behind: then receiving is ahead and has the time.
constexpr uint32_t kOwnLaneHandicap = 2;

// Parts are of about equal size, so what waits is counted in slots.
size_t ReceiveStage::output_for(const Slot& slot) {
  if (speeds_.size() != outputs()) return SlotStage::output_for(slot);
  const ProfileId profile = slot.session->profile().id;
  size_t best = 0;
  int64_t best_ps = INT64_MAX;
  for (size_t i = 0; i < speeds_.size(); ++i) {
    const uint32_t handicap = i == 0 && speeds_.size() > 1 ? kOwnLaneHandicap : 0;
    const int64_t ps = (waiting_behind(i) + 1 + handicap) * speeds_[i]->ps_per_byte(profile);
    if (ps < best_ps) best = i, best_ps = ps;
  }
  return best;
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
