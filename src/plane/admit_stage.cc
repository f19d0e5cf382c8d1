// Checks what peers ask before any of it is believed, and gives it slots.
#include "plane/admit_stage.h"

#include <algorithm>

namespace shadowserve {
namespace {

constexpr uint32_t kRequestsPerTurn = 64, kRoundsPerTurn = 64;
// A peer's deadline is a wish: nothing stays in the plane longer than this.
constexpr uint64_t kDeadlineMaxNs = 60'000 * kNsPerMs;
constexpr uint64_t kPositionsMax = uint64_t{1}
                                   << 31;  // no sequence is longer; its angles are computed from them

uint64_t first_position(const LinkRequest& request, const KvGeometry& geometry) {
  return uint64_t{request.chunk_index()} * geometry.chunk_tokens;
}

}  // namespace

AdmitStage::AdmitStage(const Clock& clock, SlotPool& pool, std::span<Session> sessions, LookupStage& lookups,
                       Funnels& funnels, LaneLedger& ledger, std::span<Pipe* const> to_receive,
                       std::span<Pipe* const> to_collect)
    : clock_(clock),
      pool_(pool),
      sessions_(sessions),
      lookups_(lookups),
      funnels_(funnels),
      ledger_(ledger),
      to_receive_(to_receive),
      to_collect_(to_collect) {}

uint32_t AdmitStage::step(uint64_t now_ns) {
  uint32_t moved = 0;
  for (Session& session : sessions_) {
    const Session::State state = session.state();
    if (state == Session::kDraining) let_go(session);
    if (state == Session::kActive) moved += drain_ring(session, now_ns);
  }
  // A turn of this loop may be as long as a frame of its lane takes: other lanes want more than one by then.
  for (uint32_t round = 0, given = 1; given > 0 && round < kRoundsPerTurn; ++round) {
    given = give_slots(now_ns);
    moved += given;
  }
  uint32_t waiting = 0;
  for (Session& session : sessions_) {
    if (session.state() != Session::kActive) continue;
    waiting += session.waiting_fetches().size() + session.waiting_saves().size();
  }
  waiting_.store(waiting, std::memory_order_relaxed);
  return moved;
}

uint32_t AdmitStage::give_slots(uint64_t now_ns) {
  uint32_t given = 0;
  const uint32_t first = next_session_, count = static_cast<uint32_t>(sessions_.size());
  for (uint32_t i = 0; i < count; ++i) {
    Session& session = sessions_[(first + i) % count];
    if (session.state() != Session::kActive) continue;
    const uint32_t got = fill_slots(session, session.waiting_fetches(), /*saving=*/false, now_ns) +
                         fill_slots(session, session.waiting_saves(), /*saving=*/true, now_ns);
    if (got > 0) next_session_ = (first + i + 1) % count;  // whoever comes behind it is first now
    given += got;
  }
  return given;
}

uint32_t AdmitStage::drain_ring(Session& session, uint64_t now_ns) {
  uint32_t taken = 0;
  LinkRequest request;
  while (taken < kRequestsPerTurn && lookups_.has_room() && !session.waiting_fetches().full() &&
         !session.waiting_saves().full() && session.requests().pop(request)) {
    ++taken;
    request.deadline_ns = std::min(request.deadline_ns, now_ns + kDeadlineMaxNs);
    if (request.op == LinkOp::kLookup) {
      lookups_.submit(session, request, now_ns);
      continue;
    }
    const bool known = request.op == LinkOp::kFetch || request.op == LinkOp::kSave;
    const KvGeometry& geometry = session.geometry();
    if (!known || request.part >= geometry.parts() || first_position(request, geometry) >= kPositionsMax ||
        !session.fits(request.staging_offset, part_shape(geometry, request.part).value_bytes())) {
      refuse(session, request, Error::kConfig);
      continue;
    }
    const bool saving = request.op == LinkOp::kSave;
    (saving ? funnels_.save : funnels_.fetch).asked.add(1);
    session.work_began();
    (saving ? session.waiting_saves() : session.waiting_fetches()).push({request, now_ns});
  }
  return taken;
}

uint32_t AdmitStage::fill_slots(Session& session, RequestQueue& waiting, bool saving, uint64_t now_ns) {
  // One slot a round: sessions share the slots evenly while they are scarce.
  if (waiting.empty()) return 0;
  const RequestQueue::Waiting& next = waiting.front();
  if (now_ns >= next.request.deadline_ns) {
    (saving ? funnels_.save : funnels_.fetch).end(Error::kDeadline);
    refuse(session, next.request, Error::kDeadline);
    session.work_ended();
    waiting.pop();
    return 1;
  }
  Slot* slot = pool_.take(saving);
  if (slot == nullptr) return 0;
  slot->session = &session;
  slot->request = next.request;
  slot->shape = part_shape(session.geometry(), next.request.part);
  slot->shape.first_position = static_cast<uint32_t>(first_position(next.request, session.geometry()));
  slot->arrived_ns = next.arrived_ns;
  slot->admitted_ns = slot->queued_ns = now_ns;
  waiting.pop();
  counters_.slots.add(1);
  counters_.wait_ns.add(now_ns - slot->arrived_ns);
  lane_for(*slot).push(*slot);
  return 1;
}

Pipe& AdmitStage::lane_for(Slot& slot) {
  if (slot.saving()) return *to_collect_[slot.index % to_collect_.size()];
  slot.lane = ledger_.assign(slot.session->profile().id);
  return *to_receive_[slot.lane];
}

void AdmitStage::let_go(Session& session) {
  for (RequestQueue* waiting : {&session.waiting_fetches(), &session.waiting_saves()}) {
    Funnel& funnel = waiting == &session.waiting_saves() ? funnels_.save : funnels_.fetch;
    for (; !waiting->empty(); waiting->pop()) {
      funnel.end(Error::kCancelled);
      session.work_ended();
    }
  }
  if (session.in_flight() == 0) session.drained();
}

void AdmitStage::refuse(Session& session, const LinkRequest& request, Error error) {
  counters_.failed.add(1);
  LinkReply reply;
  reply.ticket = request.ticket;
  reply.op = request.op;
  reply.error = static_cast<uint8_t>(error);
  if (!session.reply(reply)) session.leave();
}

bool AdmitStage::prepare_sleep() {
  bool may_sleep = true;
  for (Session& session : sessions_) {
    if (session.state() == Session::kDraining) may_sleep = false;
    if (session.state() != Session::kActive) continue;
    if (!session.requests().prepare_sleep()) may_sleep = false;
  }
  return may_sleep;
}

void AdmitStage::end_sleep() {
  for (Session& session : sessions_) {
    if (session.state() == Session::kActive) session.requests().end_sleep();
  }
}

}  // namespace shadowserve
