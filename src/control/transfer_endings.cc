// How jobs of a transfer end: done, failed, withdrawn, too late, or with the plane gone.
#include <algorithm>
#include <vector>

#include "contract/check.h"
#include "control/transfer_worker.h"

namespace shadowserve {
namespace {

constexpr uint64_t kSilenceCheckEveryNs = 50 * kNsPerMs;

template <typename Job>
void remove_job(std::deque<std::shared_ptr<Job>>& jobs, const Job* job) {
  std::erase_if(jobs, [job](const auto& each) { return each.get() == job; });
}

void count(std::atomic<uint64_t>* failed, Error error, uint64_t chunks) {
  failed[static_cast<size_t>(error)].fetch_add(chunks, std::memory_order_relaxed);
}

}  // namespace

void TransferWorker::end_withdrawn() {
  const uint32_t seen = withdrawals_.load(std::memory_order_seq_cst);
  if (seen == withdrawals_seen_) return;
  withdrawals_seen_ = seen;
  for (const auto& job : std::vector(fetches_.begin(), fetches_.end())) {
    if (job->withdrawn()) finish(*job, Error::kCancelled);
  }
  for (const auto& job : std::vector(saves_.begin(), saves_.end())) {
    // What was read before the withdrawal is good, and on its way.
    if (job->withdrawn() && !job->all_gathered()) finish(*job, Error::kCancelled);
  }
}

void TransferWorker::end_expired() {
  const uint64_t now = clock_.now_ns();
  const bool left_alone = !link_.up() && now >= link_.down_since_ns() + kLinkPatienceNs;
  const auto end_late = [&](auto& jobs) {
    // Every fetch has the same time, so the queue is ordered by deadline; so is the saves'.
    if (jobs.empty() || !(left_alone || now >= jobs.front()->order.deadline_ns + kGraceNs)) return;
    for (const auto& job : std::vector(jobs.begin(), jobs.end())) {
      if (job->ending) continue;
      if (now >= job->order.deadline_ns + kGraceNs) {
        finish(*job, Error::kDeadline);
      } else if (left_alone) {
        finish(*job, Error::kPlaneDown);
      }
    }
  };
  end_late(fetches_);
  end_late(saves_);
  if (staging_.with_plane() > 0 && now >= silence_check_ns_) {
    silence_check_ns_ = now + kSilenceCheckEveryNs;
    if (now >= staging_.oldest_deadline_ns() + kSilenceNs) {
      link_.drop("it does not answer");
      end_all_in_flight();
    }
  }
}

void TransferWorker::end_all_in_flight() {
  counters_.disconnects.fetch_add(1, std::memory_order_relaxed);
  counters_.connected.store(0, std::memory_order_relaxed);
  strange_replies_ = 0;
  // The staging memory is gone. Jobs that have nothing in it wait for the next link.
  staging_.reset();
  moves_are_stale_ = moves_under_way_ > 0;
  for (const auto& job : std::vector(fetches_.begin(), fetches_.end())) {
    if (job->in_flight() > 0) finish(*job, Error::kPlaneDown);
  }
  for (const auto& job : std::vector(saves_.begin(), saves_.end())) {
    if (job->started()) finish(*job, Error::kPlaneDown);
  }
}

bool TransferWorker::ends_later(TransferJob& job, Error error) {
  // Whoever is told that a job has ended may use its pages, and its regions are somebody else's: nothing
  // moves by then.
  if (!job.ending) job.ending = error;
  return job.moves > 0;
}

void TransferWorker::finish(FetchJob& job, Error error) {
  if (ends_later(job, error)) return;
  const uint32_t placed = job.chunks_placed();
  if (placed == job.chunks()) error = Error::kNone;
  staging_.abandon(&job);
  counters_.fetch_placed.fetch_add(placed, std::memory_order_relaxed);
  if (error != Error::kNone) count(counters_.fetch_failed, error, job.chunks() - placed);
  counters_.fetches.fetch_add(1, std::memory_order_relaxed);
  counters_.fetch_us_total.fetch_add((clock_.now_ns() - job.order.asked_ns) / kNsPerUs,
                                     std::memory_order_relaxed);
  emit(job, error, placed);
  remove_job(fetches_, &job);
}

void TransferWorker::finish(SaveJob& job, Error error) {
  if (ends_later(job, error)) return;
  staging_.abandon(&job);
  if (error != Error::kNone) count(counters_.save_failed, error, job.chunks() - job.chunks_stored());
  if (!job.event_sent) say_gathered(job, error);
  remove_job(saves_, &job);
}

void TransferWorker::say_gathered(SaveJob& job, Error error) {
  SS_CHECK(!job.event_sent, "a job ends once for the engine");
  job.event_sent = true;
  emit(job, error, 0);
}

void TransferWorker::emit(const TransferJob& job, Error error, uint32_t chunks_placed) {
  TransferEvent event;
  event.event.kind = job.order.kind;
  event.event.error = static_cast<ss_error>(error);
  event.event.id = job.order.id;
  event.event.chunks_placed = chunks_placed;
  event.event.chunks = job.chunks();
  event.serial = job.order.serial;
  SS_CHECK(events_->push(event), "jobs are bounded by the ring's capacity");
}

}  // namespace shadowserve
