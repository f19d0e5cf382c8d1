// The product's own lane with slots that go round through it: what its stages take in each other's company,
// without admission, answers and an engine.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "bench/pipeline_trials.h"
#include "plane/lane.h"

namespace shadowserve {

/// What a lane did so far. Times are of its one thread.
struct LaneTally {
  uint64_t parts = 0, value_bytes = 0;
  uint64_t cpu_ns = 0;
  std::vector<std::pair<std::string, uint64_t>> busy_ns;  ///< of its stages, by name
};

/// Slots, staging memory and records are those of the pipeline, and go round in its order: a record is
/// received into a slot and unpacked after all that were received before it. Part n, counted from the first,
/// is delivered to place n of staging memory, both from the start again when there are no more.
class LaneCircle {
 public:
  static constexpr const char* kThreadName = "ss-lane";

  /// Runs on `core` until it dies. `bench` must outlive it. Throws StartError.
  LaneCircle(PipelineBench& bench, int core, bool separate_stages);
  ~LaneCircle();
  /// Idempotent.
  void stop() { loop_.stop(); }
  LaneTally tally() const;
  /// Throws StartError when a part failed.
  void expect_no_failure() const;

 private:
  class AgainStage;
  void send_to_next_part(Slot& slot);

  struct Part {
    PartShape shape;
    ChunkKey key;
    uint32_t chunk = 0;
  };
  SlotPool pool_;
  Session session_;
  std::vector<Part> parts_;
  uint64_t number_ = 0;
  size_t stride_ = 0, places_ = 0;
  const Clock& clock_;
  StageLoop loop_;
  std::unique_ptr<Pipe> fetched_;
  std::unique_ptr<AgainStage> again_;
  std::unique_ptr<Lane> lane_;
};

}  // namespace shadowserve
