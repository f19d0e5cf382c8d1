// Jobs, parts, replies and deadlines of a transfer, one step at a time.
#include "control/transfer_worker.h"

#include <algorithm>

#include "contract/check.h"

namespace shadowserve {
namespace {

// Placements per step: between them deadlines, new jobs and free regions are looked at.
constexpr int kRepliesPerStep = 8;
// Answers to nothing: a peer that sends this many is broken.
constexpr uint32_t kStrangeRepliesMax = 1'000;
constexpr uint64_t kLookAtMovesNs = 20 * kNsPerUs;

Error error_of(const LinkReply& reply) {
  return reply.error < kErrorCount ? static_cast<Error>(reply.error) : Error::kPlaneDown;
}

}  // namespace

TransferWorker::TransferWorker(const ClientOptions& options, const Clock& clock, TransferCounters& counters)
    : options_(options),
      clock_(clock),
      counters_(counters),
      link_(options.plane, options.hello(), clock, options.staging_place(), options.calibration),
      staging_(options.geometry(), options.staging_bytes),
      moves_(staging_.size()),
      commands_(kJobsMax),
      events_(kJobsMax) {}

TransferWorker::~TransferWorker() {
  TransferJob* job = nullptr;
  while (commands_->pop(job)) job->self.reset();
}

bool TransferWorker::hand_over(std::shared_ptr<TransferJob> job) {
  TransferJob* raw = job.get();
  raw->self = std::move(job);
  SS_CHECK(commands_->push(raw), "jobs are bounded by the ring's capacity");
  return commands_->must_ring();
}

bool TransferWorker::nudge() {
  withdrawals_.fetch_add(1, std::memory_order_seq_cst);
  return commands_->must_ring();
}

bool TransferWorker::prepare_sleep() {
  return commands_->prepare_sleep() && withdrawals_.load(std::memory_order_seq_cst) == withdrawals_seen_ &&
         link_.prepare_sleep();
}

void TransferWorker::end_sleep() {
  commands_->end_sleep();
  link_.end_sleep();
}

uint64_t TransferWorker::wake_at_ns() const {
  uint64_t wake = link_.next_step_ns();
  if (!fetches_.empty()) wake = std::min(wake, fetches_.front()->order.deadline_ns + kGraceNs);
  if (!saves_.empty()) wake = std::min(wake, saves_.front()->order.deadline_ns + kGraceNs);
  if (!idle() && !link_.up()) wake = std::min(wake, link_.down_since_ns() + kLinkPatienceNs);
  if (staging_.with_plane() > 0) wake = std::min(wake, silence_check_ns_);
  // A GPU rings no bell.
  if (moves_under_way_ > moves_held_) wake = std::min(wake, clock_.now_ns() + kLookAtMovesNs);
  if (moves_held_ > 0) wake = std::min(wake, held_since_ns_ + kHoldMovesNs);
  return wake;
}

bool TransferWorker::step() {
  bool busy = take_commands();
  switch (link_.step()) {
    case PlaneLink::Change::kNone:
      break;
    case PlaneLink::Change::kCameUp:
      counters_.connects.fetch_add(1, std::memory_order_relaxed);
      counters_.connected.store(1, std::memory_order_relaxed);
      busy = true;
      break;
    case PlaneLink::Change::kWentDown:
      end_all_in_flight();
      break;
  }
  if (link_.up() && take_replies()) busy = true;
  if (take_moved()) busy = true;
  end_withdrawn();
  end_expired();
  if (link_.up() && send_fetches()) busy = true;
  const bool gathers = link_.up() && gather_saves();
  flush_moves(gathers);
  if (take_moved()) busy = true;
  link_.ring();
  return busy || gathers;
}

bool TransferWorker::take_commands() {
  bool any = false;
  for (TransferJob* raw = nullptr; commands_->pop(raw); any = true) {
    std::shared_ptr<TransferJob> job = std::move(raw->self);
    // Withdrawn before it was known here: the scan that the withdrawal asked for may have missed it.
    if (job->withdrawn()) withdrawals_seen_ = withdrawals_.load(std::memory_order_seq_cst) - 1;
    if (job->order.kind == SS_FETCHED) {
      fetches_.push_back(std::static_pointer_cast<FetchJob>(std::move(job)));
      const std::shared_ptr<FetchJob> fetch = fetches_.back();
      if (fetch->done()) finish(*fetch, Error::kNone);  // all its tokens lie before first_token
    } else {
      saves_.push_back(std::static_pointer_cast<SaveJob>(std::move(job)));
    }
  }
  return any;
}

bool TransferWorker::take_replies() {
  LinkReply reply;
  int taken = 0;
  for (; taken < kRepliesPerStep && link_.up() && link_.take(reply); ++taken) {
    const uint32_t index = staging_.settle(reply);
    if (index == StagingTable::kNone) {
      if (++strange_replies_ < kStrangeRepliesMax) continue;
      link_.drop("it answers what nobody asked");
      end_all_in_flight();
      break;
    }
    const std::shared_ptr<TransferJob> job = staging_.at(index).job;
    if (job == nullptr) {
      staging_.give_back(index);  // the late end of a quarantine
    } else if (reply.op == LinkOp::kFetch) {
      fetch_answered(static_cast<FetchJob&>(*job), index, reply);
    } else {
      save_answered(static_cast<SaveJob&>(*job), index, reply);
    }
  }
  return taken > 0;
}

void TransferWorker::fetch_answered(FetchJob& job, uint32_t region, const LinkReply& reply) {
  const PartTask task = staging_.at(region).task;
  const PartShape shape = part_shape(options_.geometry(), task.part);
  Error error = error_of(reply);
  if (error == Error::kNone && reply.value_bytes != shape.value_bytes()) error = Error::kRecordMalformed;
  if (job.withdrawn()) error = Error::kCancelled;
  if (error == Error::kNone && job.wants(task) && !job.ending) {
    return start_move(PagedDirection::kScatter, job, region, reply);
  }
  staging_.give_back(region);
  job.ended(task, error);
  if (job.done()) finish(job, job.error());
}

void TransferWorker::save_answered(SaveJob& job, uint32_t region, const LinkReply& reply) {
  const PartTask task = staging_.at(region).task;
  const Error error = error_of(reply);
  job.answered();
  staging_.give_back(region);
  if (job.ending) return;
  if (error != Error::kNone) return finish(job, error);
  counters_.save_wire_bytes.fetch_add(reply.wire_bytes, std::memory_order_relaxed);
  counters_.save_value_bytes.fetch_add(reply.value_bytes, std::memory_order_relaxed);
  const uint32_t held = job.stored(task);
  if (task.part == 0) counters_.save_stored.fetch_add(1, std::memory_order_relaxed);
  if (job.done()) return finish(job, Error::kNone);
  if (held != StagingTable::kNone) send_save(job, held);
}

bool TransferWorker::send(TransferJob& job, uint32_t region) {
  if (staging_.with_plane() >= link_.ring_entries()) return false;
  const StagingTable::Region& sent = staging_.at(region);
  LinkRequest request;
  request.ticket = staging_.send(region, job.order.deadline_ns);
  request.op = sent.op;
  request.set_chunk_index(job.order.first_chunk + sent.task.chunk);
  request.part = sent.task.part;
  request.key = job.order.keys[sent.task.chunk];
  request.staging_offset = staging_.offset(region);
  request.deadline_ns = job.order.deadline_ns;
  if (link_.submit(request)) return true;
  // Fewer are in flight than the ring has entries: only a plane that does not read it can make it full.
  LinkReply undone;
  undone.ticket = request.ticket;
  undone.op = request.op;
  staging_.settle(undone);
  return false;
}

bool TransferWorker::send_fetches() {
  bool any = false;
  const uint64_t now = clock_.now_ns();
  if (moves_are_stale_) return false;
  for (const std::shared_ptr<FetchJob>& job : fetches_) {
    if (now >= job->order.deadline_ns || job->ending) continue;
    for (PartTask task; job->next(task); any = true) {
      const uint32_t region = staging_.take(LinkOp::kFetch, job, task);
      if (region == StagingTable::kNone) return any;
      if (!send(*job, region)) {
        staging_.give_back(region);
        return any;
      }
      job->sent();
    }
  }
  return any;
}

bool TransferWorker::gather_saves() {
  if (saves_.empty() || moves_are_stale_) return false;
  const uint32_t most = mover_.load(std::memory_order_acquire)->gathers_per_turn();
  uint32_t started = 0;
  for (; started < most; ++started) {
    PartTask task;
    const auto waiting = std::find_if(saves_.begin(), saves_.end(), [&task](const auto& each) {
      return !each->ending && each->next(task);
    });
    if (waiting == saves_.end() || staging_.with_plane() >= link_.ring_entries()) break;
    const std::shared_ptr<SaveJob> job = *waiting;
    const uint32_t region = staging_.take(LinkOp::kSave, job, task);
    if (region == StagingTable::kNone) break;
    job->gathering();
    start_move(PagedDirection::kGather, *job, region, {});
  }
  return started > 0;
}

void TransferWorker::send_save(SaveJob& job, uint32_t region) {
  if (send(job, region)) {
    job.sent();
  } else {
    finish(job, Error::kNoCapacity);
  }
}

}  // namespace shadowserve
