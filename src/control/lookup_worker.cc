// Questions and answers of a lookup, one step at a time.
#include "control/lookup_worker.h"

#include <algorithm>
#include <utility>

#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr uint32_t kSlotBits = 16;
constexpr uint64_t kSilenceCheckEveryNs = 50 * kNsPerMs;
constexpr uint32_t kStrangeRepliesMax = 1'000;
constexpr int kRepliesPerStep = 256;

}  // namespace

LookupWorker::LookupWorker(const ClientOptions& options, const Clock& clock, LookupCounters& counters)
    : clock_(clock),
      shards_(options.space.shard_count),
      counters_(counters),
      link_(options.plane, options.hello(), clock),
      commands_(kCommandsMax),
      slots_(kLinkRingEntries) {
  static_assert(kLinkRingEntries <= 1u << kSlotBits);
  for (uint32_t slot = kLinkRingEntries; slot-- > 0;) free_slots_.push_back(slot);
}

LookupWorker::~LookupWorker() {
  LookupJob* job = nullptr;
  while (commands_->pop(job)) job->self.reset();
}

bool LookupWorker::hand_over(std::shared_ptr<LookupJob> job, bool& wake) {
  LookupJob* raw = job.get();
  raw->self = std::move(job);
  if (!commands_->push(raw)) {
    raw->self.reset();
    return false;
  }
  wake = commands_->must_ring();
  return true;
}

bool LookupWorker::decide(LookupJob& job, uint32_t run, Error error) {
  int64_t pending = SS_PENDING;
  const int64_t outcome = static_cast<int64_t>(error) << 32 | run;
  if (!job.outcome.compare_exchange_strong(pending, outcome, std::memory_order_acq_rel)) return false;
  counters_.found.fetch_add(uint64_t{run} * shards_, std::memory_order_relaxed);
  auto& rest = error == Error::kDeadline    ? counters_.timed_out
               : error == Error::kPlaneDown ? counters_.without_plane
                                            : counters_.missing;
  rest.fetch_add((job.keys.size() - run) * shards_, std::memory_order_relaxed);
  return true;
}

void LookupWorker::end_sleep() {
  commands_->end_sleep();
  link_.end_sleep();
}

uint64_t LookupWorker::wake_at_ns() const {
  uint64_t wake = link_.next_step_ns();
  if (!jobs_.empty()) wake = std::min(wake, jobs_.front()->deadline_ns + kGraceNs);
  if (in_flight_ > 0) wake = std::min(wake, silence_check_ns_);
  return wake;
}

bool LookupWorker::step() {
  bool busy = take_commands();
  switch (link_.step()) {
    case PlaneLink::Change::kNone:
      break;
    case PlaneLink::Change::kCameUp:
      counters_.connects.fetch_add(1, std::memory_order_relaxed);
      counters_.connected.store(1, std::memory_order_release);
      busy = true;
      break;
    case PlaneLink::Change::kWentDown:
      plane_lost();
      break;
  }
  if (link_.up() && take_replies()) busy = true;
  end_expired();
  if (link_.up() && send_questions()) busy = true;
  link_.ring();
  return busy;
}

bool LookupWorker::take_commands() {
  bool any = false;
  for (LookupJob* raw = nullptr; commands_->pop(raw); any = true) {
    std::shared_ptr<LookupJob> job = std::move(raw->self);
    if (link_.up()) {
      job->shards_left.assign(job->keys.size(), shards_);
      jobs_.push_back(std::move(job));
    } else {
      decide(*job, 0, Error::kPlaneDown);
    }
  }
  return any;
}

bool LookupWorker::send_questions() {
  bool any = false;
  for (const std::shared_ptr<LookupJob>& job : jobs_) {
    while (!job->decided() && job->next < job->keys.size() * shards_) {
      if (!send_one(job)) return any;
      any = true;
    }
  }
  return any;
}

bool LookupWorker::send_one(const std::shared_ptr<LookupJob>& job) {
  if (free_slots_.empty() || in_flight_ >= link_.ring_entries()) return false;
  const uint32_t index = free_slots_.back();
  const auto chunk = static_cast<uint32_t>(job->next / shards_);
  const auto shard = static_cast<uint32_t>(job->next % shards_);
  LinkRequest request;
  request.ticket = ++generation_ << kSlotBits | index;
  request.op = LinkOp::kLookup;
  request.key = shards_ == 1 ? job->keys[chunk] : shard_key(job->keys[chunk], shard);
  request.deadline_ns = job->deadline_ns;
  if (!link_.submit(request)) return false;
  free_slots_.pop_back();
  slots_[index] = {request.ticket, job->deadline_ns, job, chunk};
  ++job->next;
  ++in_flight_;
  return true;
}

bool LookupWorker::take_replies() {
  LinkReply reply;
  int taken = 0;
  for (; taken < kRepliesPerStep && link_.take(reply); ++taken) {
    const auto index = static_cast<uint32_t>(reply.ticket & ((1u << kSlotBits) - 1));
    if (index >= slots_.size() || reply.ticket == 0 || slots_[index].ticket != reply.ticket ||
        reply.op != LinkOp::kLookup) {
      if (++strange_replies_ < kStrangeRepliesMax) continue;
      link_.drop("it answers what nobody asked");
      plane_lost();
      break;
    }
    const Slot slot = std::exchange(slots_[index], {});
    free_slots_.push_back(index);
    --in_flight_;
    answered(slot.job, slot.chunk,
             reply.error < kErrorCount ? static_cast<Error>(reply.error) : Error::kPlaneDown);
  }
  return taken > 0;
}

void LookupWorker::answered(const std::shared_ptr<LookupJob>& job, uint32_t chunk, Error error) {
  const Answer answer = error == Error::kNone   ? Answer::kStored
                        : error == Error::kMiss ? Answer::kMissing
                                                : Answer::kFailed;
  // A chunk is stored when every shard has it. The first one that does not settles it.
  uint32_t& left = job->shards_left[chunk];
  if (left == 0) return;
  left = answer == Answer::kStored ? left - 1 : 0;
  if (left > 0) return;
  job->answers[chunk].store(answer, std::memory_order_release);
  if (job->decided()) return;
  const auto count = static_cast<uint32_t>(job->keys.size());
  const auto at = [&job](uint32_t index) { return job->answers[index].load(std::memory_order_relaxed); };
  while (job->run < count && at(job->run) == Answer::kStored) ++job->run;
  // The first chunk that is not there decides; what lies behind it does not matter.
  if (job->run < count && at(job->run) == Answer::kNone) return;
  const bool failed = job->run < count && at(job->run) == Answer::kFailed && chunk == job->run;
  decide(*job, job->run, failed ? error : Error::kNone);
}

void LookupWorker::end_expired() {
  const uint64_t now = clock_.now_ns();
  while (!jobs_.empty() && (jobs_.front()->decided() || now >= jobs_.front()->deadline_ns + kGraceNs)) {
    decide(*jobs_.front(), 0, Error::kDeadline);
    jobs_.pop_front();
  }
  if (in_flight_ == 0 || now < silence_check_ns_) return;
  silence_check_ns_ = now + kSilenceCheckEveryNs;
  const bool silent = std::any_of(slots_.begin(), slots_.end(), [now](const Slot& slot) {
    return slot.ticket != 0 && now >= slot.deadline_ns + kSilenceNs;
  });
  if (!silent) return;
  link_.drop("it does not answer");
  plane_lost();
}

void LookupWorker::plane_lost() {
  counters_.disconnects.fetch_add(1, std::memory_order_relaxed);
  counters_.connected.store(0, std::memory_order_release);
  strange_replies_ = 0;
  for (const auto& job : jobs_) decide(*job, 0, Error::kPlaneDown);
  jobs_.clear();
  free_slots_.clear();
  for (uint32_t slot = kLinkRingEntries; slot-- > 0;) {
    slots_[slot] = {};
    free_slots_.push_back(slot);
  }
  in_flight_ = 0;
}

}  // namespace shadowserve
