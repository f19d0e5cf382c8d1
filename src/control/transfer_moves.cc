// Parts on their way between staging and pages: started, and what follows when they have arrived.
#include <algorithm>
#include <utility>

#include "contract/check.h"
#include "control/transfer_worker.h"

namespace shadowserve {

void TransferWorker::start_move(PagedDirection direction, TransferJob& job, uint32_t region,
                                const LinkReply& reply) {
  const StagingTable::Region& used = staging_.at(region);
  PartMove move;
  move.ticket = region;
  move.direction = direction;
  move.shape = part_shape(options_.geometry(), used.task.part);
  move.staging_offset = staging_.offset(region);
  move.page_ids = job.chunk_pages(used.task.chunk);
  if (direction == PagedDirection::kScatter) {
    move.token_first = static_cast<FetchJob&>(job).token_first(used.task.chunk);
  }
  move.after = job.order.after;
  move.keeps = link_.staging();
  SS_CHECK(moves_[region].job == nullptr, "a region moves once at a time");
  moves_[region] = {used.job, reply, clock_.now_ns()};
  ++moves_under_way_;
  ++job.moves;
  ++job.moves_held;
  mover_.load(std::memory_order_acquire)->start(move, link_.staging()->span());
  if (moves_held_++ == 0) held_since_ns_ = clock_.now_ns();
}

// To an engine on a GPU a launch is a disturbance, however much it moves: parts of fetches are held until
// many can go together. Gathers are started many at a time as it is.
void TransferWorker::flush_moves(bool at_once) {
  if (moves_held_ == 0) return;
  PageMover& mover = *mover_.load(std::memory_order_acquire);
  // Half of the regions at most: the plane fills the others meanwhile.
  const uint32_t together = std::min(mover.moves_together(), staging_.fetch_regions() / 2);
  if (moves_held_ < together && !at_once && clock_.now_ns() < held_since_ns_ + kHoldMovesNs &&
      more_will_come())
    return;
  mover.flush();
  moves_held_ = 0;
  for (const auto& job : fetches_) job->moves_held = 0;
}

// False as soon as a fetch has nothing to wait for but what is held here (and what is already on its way).
bool TransferWorker::more_will_come() const {
  return !moves_are_stale_ && std::none_of(fetches_.begin(), fetches_.end(), [](const auto& job) {
    return job->moves_held > 0 && (job->ending || job->in_flight() == job->moves);
  });
}

bool TransferWorker::take_moved() {
  if (moves_under_way_ == 0) return false;
  PagedDone done[64];
  const size_t count = mover_.load(std::memory_order_acquire)->poll(done);
  for (const PagedDone& each : std::span(done, count)) {
    const auto region = static_cast<uint32_t>(each.ticket);
    Move move = std::exchange(moves_[region], {});
    --moves_under_way_;
    --move.job->moves;
    const bool fetching = move.job->order.kind == SS_FETCHED;
    auto& us_total = fetching ? counters_.place_us_total : counters_.gather_us_total;
    us_total.fetch_add((clock_.now_ns() - move.began_ns) / kNsPerUs, std::memory_order_relaxed);
    if (fetching) {
      placed(static_cast<FetchJob&>(*move.job), region, move.reply, each.error);
    } else {
      gathered(static_cast<SaveJob&>(*move.job), region, each.error);
    }
  }
  if (moves_under_way_ == 0) moves_are_stale_ = false;
  return count > 0;
}

void TransferWorker::placed(FetchJob& job, uint32_t region, const LinkReply& reply, Error error) {
  if (moves_are_stale_) {
    if (job.ending) finish(job, *job.ending);
    return;
  }
  const PartTask task = staging_.at(region).task;
  staging_.give_back(region);
  job.ended(task, error);
  if (error == Error::kNone) {
    counters_.fetch_wire_bytes.fetch_add(reply.wire_bytes, std::memory_order_relaxed);
    counters_.fetch_value_bytes.fetch_add(reply.value_bytes, std::memory_order_relaxed);
  }
  if (job.ending) {
    finish(job, *job.ending);
  } else if (job.done()) {
    finish(job, job.error());
  }
}

void TransferWorker::gathered(SaveJob& job, uint32_t region, Error error) {
  if (moves_are_stale_) {
    if (job.ending) finish(job, *job.ending);
    return;
  }
  if (error == Error::kNone && !job.still_wanted()) error = Error::kCancelled;
  if (job.ending || error != Error::kNone) {
    staging_.give_back(region);
    return finish(job, job.ending.value_or(error));
  }
  const bool send_now = job.gathered(staging_.at(region).task, region);
  if (job.all_gathered()) say_gathered(job, Error::kNone);
  if (send_now) send_save(job, region);
}

}  // namespace shadowserve
