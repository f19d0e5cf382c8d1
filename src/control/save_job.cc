// Progress of a save.
#include "control/save_job.h"

#include <utility>

#include "contract/check.h"

namespace shadowserve {

SaveJob::SaveJob(JobOrder given) : TransferJob(std::move(given)) {
  const uint32_t last = order.pages->geometry.parts() - 1;
  next_ = {0, last};
  states_.assign(chunks(), ChunkState{last});
}

bool SaveJob::next(PartTask& task) const {
  task = next_;
  return !all_gathered();
}

bool SaveJob::gathered(PartTask task, uint32_t region) {
  SS_CHECK(task.chunk == next_.chunk && task.part == next_.part, "parts are gathered in the job's order");
  if (task.part > 0) {
    --next_.part;
    return true;
  }
  next_ = {task.chunk + 1, order.pages->geometry.parts() - 1};
  ChunkState& state = states_[task.chunk];
  if (state.others_left == 0) return true;
  state.held = region;
  return false;
}

uint32_t SaveJob::stored(PartTask task) {
  ChunkState& state = states_[task.chunk];
  if (task.part == 0) {
    ++chunks_stored_;
    return StagingTable::kNone;
  }
  if (--state.others_left > 0) return StagingTable::kNone;
  return std::exchange(state.held, StagingTable::kNone);
}

}  // namespace shadowserve
