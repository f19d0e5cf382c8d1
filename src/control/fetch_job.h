// A fetch: which parts are still to be asked for, which chunks are complete in the pages.
#pragma once

#include <cstdint>
#include <vector>

#include "control/staging_table.h"
#include "control/transfer_job.h"

namespace shadowserve {

/// Chunks are asked for first to last. A chunk is of use only when all before it are there, so after a
/// failure nothing behind it is asked for any more. Link thread only.
class FetchJob final : public TransferJob {
 public:
  explicit FetchJob(JobOrder given);

  /// The next part to ask for; false when there is none.
  bool next(PartTask& task) const;
  void sent();
  /// The plane answered. The caller has placed the part when error is kNone and wants() was true.
  void ended(PartTask task, Error error);

  /// False for parts behind a failed chunk: placing them would be wasted work.
  bool wants(PartTask task) const { return task.chunk < failed_chunk_; }
  /// Token in the chunk from which on to place.
  uint32_t token_first(uint32_t chunk) const;
  /// Nothing is in flight and nothing will be sent.
  bool done() const;
  uint32_t in_flight() const { return in_flight_; }
  /// Leading chunks that are complete in the pages.
  uint32_t chunks_placed() const;
  Error error() const { return error_; }

 private:
  void skip_unneeded();
  PartTask next_;
  uint32_t in_flight_ = 0;
  uint32_t failed_chunk_;
  Error error_ = Error::kNone;
  std::vector<uint32_t> parts_left_;
};

}  // namespace shadowserve
