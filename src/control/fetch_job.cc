// Progress of a fetch.
#include "control/fetch_job.h"

#include <algorithm>

#include "contract/check.h"

namespace shadowserve {

FetchJob::FetchJob(JobOrder given) : TransferJob(std::move(given)), failed_chunk_(chunks()) {
  parts_left_.assign(chunks(), order.pages->geometry.parts());
  // A chunk that lies wholly before the first token is complete as it is.
  for (uint32_t chunk = 0; chunk < chunks(); ++chunk) {
    if (token_first(chunk) == order.pages->geometry.chunk_tokens) parts_left_[chunk] = 0;
  }
  skip_unneeded();
}

void FetchJob::skip_unneeded() {
  while (next_.chunk < chunks() && parts_left_[next_.chunk] == 0) ++next_.chunk;
}

uint32_t FetchJob::token_first(uint32_t chunk) const {
  const uint64_t tokens = order.pages->geometry.chunk_tokens;
  const uint64_t start = (uint64_t{order.first_chunk} + chunk) * tokens;
  if (order.first_token <= start) return 0;
  return static_cast<uint32_t>(std::min(tokens, order.first_token - start));
}

bool FetchJob::next(PartTask& task) const {
  task = next_;
  return next_.chunk < failed_chunk_;
}

void FetchJob::sent() {
  ++in_flight_;
  if (++next_.part < order.pages->geometry.parts()) return;
  next_ = {next_.chunk + 1, 0};
  skip_unneeded();
}

void FetchJob::ended(PartTask task, Error error) {
  SS_CHECK(in_flight_ > 0, "every answer belongs to a part in flight");
  --in_flight_;
  if (error == Error::kNone) {
    --parts_left_[task.chunk];
  } else if (task.chunk < failed_chunk_) {
    failed_chunk_ = task.chunk;
    error_ = error;
  }
}

bool FetchJob::done() const { return in_flight_ == 0 && next_.chunk >= failed_chunk_; }

uint32_t FetchJob::chunks_placed() const {
  uint32_t placed = 0;
  while (placed < failed_chunk_ && parts_left_[placed] == 0) ++placed;
  return placed;
}

}  // namespace shadowserve
