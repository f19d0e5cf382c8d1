// A save: which parts are still to be gathered, and the order that makes part 0 stand for its chunk.
#pragma once

#include <cstdint>
#include <vector>

#include "control/staging_table.h"
#include "control/transfer_job.h"

namespace shadowserve {

/// Parts of a chunk are gathered and sent last to first; part 0 is sent only when all others are stored, so
/// whoever sees part 0 in the store sees a whole chunk. Link thread only.
class SaveJob final : public TransferJob {
 public:
  explicit SaveJob(JobOrder given);

  /// The next part to gather; false when there is none.
  bool next(PartTask& task) const;
  /// Its pages are being read.
  void gathering();
  /// `region` holds the part's values. True: send it now. False: the job holds it until stored() returns it.
  bool gathered(PartTask task, uint32_t region);
  void sent() { ++in_flight_; }
  /// The plane stored the part; returns the held region to send now, or StagingTable::kNone.
  uint32_t stored(PartTask task);
  /// The plane answered, whatever it said.
  void answered() { --in_flight_; }

  uint32_t in_flight() const { return in_flight_; }
  /// Something of it was read: with the staging memory lost, it cannot go on.
  bool started() const { return next_.chunk > 0 || next_.part + 1 < order.pages->geometry.parts(); }
  bool all_gathered() const { return left_to_gather_ == 0; }
  uint32_t chunks_stored() const { return chunks_stored_; }
  bool done() const { return chunks_stored_ == chunks(); }

  bool event_sent = false;  ///< SS_GATHERED

 private:
  struct ChunkState {
    uint32_t others_left;  ///< parts but part 0 that are not stored yet
    uint32_t held = StagingTable::kNone;
  };
  PartTask next_;
  uint32_t left_to_gather_;
  uint32_t in_flight_ = 0;
  uint32_t chunks_stored_ = 0;
  std::vector<ChunkState> states_;
};

}  // namespace shadowserve
