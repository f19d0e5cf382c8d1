// One stage of the data plane with slots that go round through it: how fast it is when nothing else is.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "codec/host_inflate_engine.h"
#include "plane/copy_engines.h"
#include "plane/lane_speed.h"
#include "plane/stage_loop.h"
#include "store/record_store.h"

namespace shadowserve {

/// kNull hands slots on and does nothing else: what the way through pipes and loop costs.
enum class StageKind : uint8_t {
  kNull,
  kReceive,
  kDecompress,
  kDequantize,
  kDeliver,
  kUnpack,
  kCollect,
  kQuantize,
  kCompress,
  kSend,
};
std::string_view stage_kind_name(StageKind kind);

/// What a circle is made of. `store` is for receive and send and must outlive the circle. `next` is called on
/// the stage's thread with a slot that goes into the stage again.
struct StageCircleParts {
  StageKind kind = StageKind::kNull;
  SlotPool& pool;
  std::vector<uint32_t> slots;
  const Clock& clock;
  int core = -1;
  RecordStore* store = nullptr;
  std::function<void(Slot&)> next;
};

/// The very stage of the pipeline, between two pipes, on a loop of its own; a second stage on that loop takes
/// what comes out and pushes it in again. Stepped by hand or run on the loop's thread.
class StageCircle {
 public:
  explicit StageCircle(StageCircleParts parts);
  ~StageCircle();

  /// By hand, until `slots` more came round. Throws StartError when one failed.
  void pass(uint64_t slots);
  void start() { loop_.start(); }
  void stop() { loop_.stop(); }
  uint64_t passed() const;
  uint64_t value_bytes() const;
  uint64_t record_bytes() const;
  /// Throws StartError when a slot failed.
  void expect_no_failure() const;

 private:
  class AgainStage;
  std::unique_ptr<SlotStage> make_stage();

  StageCircleParts parts_;
  StageLoop loop_;
  Pipe in_, out_;
  CoderWorkspace workspace_;
  std::unique_ptr<HostInflateEngine> inflate_;
  CopyEngines copies_;
  LaneSpeed speed_;
  std::unique_ptr<SlotStage> stage_;
  std::unique_ptr<AgainStage> again_;
};

}  // namespace shadowserve
