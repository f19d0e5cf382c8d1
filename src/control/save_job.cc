// Progress of a save.
#include "control/save_job.h"

#include <utility>

#include "contract/check.h"

namespace shadowserve {

SaveJob::SaveJob(JobOrder given) : TransferJob(std::move(given)) {
  const uint32_t last = order.pages->geometry.parts() - 1;
  next_ = {0, last};
  left_to_gather_ = chunks() * (last + 1);
  states_.assign(chunks(), ChunkState{last});
}

bool SaveJob::next(PartTask& task) const {
  task = next_;
  return next_.chunk < chunks();
}

void SaveJob::gathering() {
  if (next_.part > 0) {
    --next_.part;
  } else {
    next_ = {next_.chunk + 1, order.pages->geometry.parts() - 1};
  }
}

bool SaveJob::gathered(PartTask task, uint32_t region) {
  SS_CHECK(left_to_gather_ > 0, "a part is gathered once");
  --left_to_gather_;
  if (task.part > 0) return true;
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
