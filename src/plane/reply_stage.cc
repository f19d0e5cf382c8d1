// Answers peers and frees slots.
#include "plane/reply_stage.h"

namespace shadowserve {

uint32_t ReplyStage::step(uint64_t) {
  uint32_t moved = 0;
  for (Pipe* pipe : inputs_) {
    uint32_t index = 0;
    while (pipe->pop(index)) {
      answer(pool_.at(index));
      ++moved;
    }
  }
  return moved;
}

uint32_t ReplyStage::queue() const {
  uint32_t waiting = 0;
  for (const Pipe* pipe : inputs_) waiting += pipe->size();
  return waiting;
}

void ReplyStage::answer(Slot& slot) {
  const auto us = [](uint64_t ns) { return static_cast<uint32_t>(ns / kNsPerUs); };
  const uint64_t total_ns = clock_.now_ns() - slot.admitted_ns;
  const bool worked = slot.error == Error::kNone;
  Funnel& funnel = slot.saving() ? funnels_.save : funnels_.fetch;
  funnel.end(slot.error);
  if (worked) {
    funnel.wire_bytes.add(slot.record_bytes);
    funnel.value_bytes.add(slot.shape.value_bytes());
  }
  counters_.slots.add(1);
  if (slot.session->state() == Session::kActive) {
    LinkReply reply;
    reply.ticket = slot.request.ticket;
    reply.op = slot.request.op;
    reply.error = static_cast<uint8_t>(slot.error);
    reply.wire_bytes = static_cast<uint32_t>(slot.record_bytes);
    reply.value_bytes = worked ? static_cast<uint32_t>(slot.shape.value_bytes()) : 0;
    reply.queued_us = us(slot.admitted_ns - slot.arrived_ns);
    reply.store_us = us(slot.store_ns);
    reply.work_us = us(total_ns - slot.store_ns);
    if (!slot.session->reply(reply)) slot.session->leave();
  }
  if (!slot.saving()) ledger_.release(slot.lane);
  slot.session->work_ended();
  pool_.give_back(slot);
}

}  // namespace shadowserve
