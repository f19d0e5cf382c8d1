// Passes lookups to the store and its answers back.
#include "plane/lookup_stage.h"

#include "contract/check.h"

namespace shadowserve {

LookupStage::LookupStage(const Clock& clock, RecordStore& store, Funnel& funnel)
    : clock_(clock), store_(store), funnel_(funnel), asked_(kDepth) {
  free_.reserve(kDepth);
  for (uint32_t i = 0; i < kDepth; ++i) free_.push_back(kDepth - 1 - i);
}

void LookupStage::submit(Session& session, const LinkRequest& request, uint64_t now_ns) {
  SS_CHECK(has_room(), "the caller asked has_room()");
  funnel_.asked.add(1);
  session.work_began();
  const uint32_t index = free_.back();
  asked_[index] = {&session, request.ticket, now_ns};
  const auto accepted = store_.exists(index, StoreKey(request.key, 0), request.deadline_ns);
  if (accepted) {
    free_.pop_back();
    return;
  }
  answer(asked_[index], accepted.error());
}

uint32_t LookupStage::step(uint64_t) {
  StoreDone done[64];
  const size_t count = store_.poll(done);
  for (size_t i = 0; i < count; ++i) {
    const auto index = static_cast<uint32_t>(done[i].ticket);
    counters_.wait_ns.add(clock_.now_ns() - asked_[index].asked_ns);
    answer(asked_[index], done[i].error);
    free_.push_back(index);
  }
  return static_cast<uint32_t>(count);
}

void LookupStage::answer(const Asked& asked, Error error) {
  counters_.slots.add(1);
  // "It is not there" is an answer, not a failure.
  if (error != Error::kNone && error != Error::kMiss) counters_.failed.add(1);
  funnel_.end(error);
  if (asked.session->state() == Session::kActive) {
    LinkReply reply;
    reply.ticket = asked.ticket;
    reply.op = LinkOp::kLookup;
    reply.error = static_cast<uint8_t>(error);
    if (!asked.session->reply(reply)) asked.session->leave();
  }
  asked.session->work_ended();
}

}  // namespace shadowserve
