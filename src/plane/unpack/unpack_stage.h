// Stages 2 to 4 of a fetch in one pass on one core: record to values in the engine's staging memory.
#pragma once

#include "codec/frame_decoder.h"
#include "plane/lane_speed.h"
#include "plane/stage.h"
#include "plane/unpack/lane_trial.h"
#include "world/inflate_engine.h"

namespace shadowserve {

/// Where decompression, dequantization and copying are all this core's work, nothing between them goes to
/// memory: a few rows of symbols at a time live in L1, values go past the caches straight into staging.
/// Deflate frames go through the inflate engine, which decodes several at once. A record that turns out to be
/// malformed behind its seal may leave part of its values in staging; the answer says so and nobody looks at
/// them.
class UnpackStage final : public SlotStage {
 public:
  UnpackStage(SlotPool& pool, const Clock& clock, InflateEngine& inflate, CoderWorkspace& workspace,
              LaneSpeed& speed)
      : SlotStage(pool, clock),
        inflate_(inflate),
        workspace_(workspace),
        decoder_(workspace),
        speed_(speed) {}
  /// Its outputs, in the order in which they are added.
  enum Output : size_t {
    kDone,       ///< values are where the engine wants them, or the slot failed
    kToDeliver,  ///< values are in the slot: the staging memory is a GPU's, which this core cannot write
  };
  std::string_view name() const override { return "unpack"; }
  void prepare_thread() override { try_lane(clock_, workspace_, speed_); }

 protected:
  void begin(Slot& slot) override;
  uint32_t poll_work() override;
  bool ready() const override { return slot_ == nullptr; }
  size_t output_for(const Slot& slot) override;

 private:
  bool is_deflate(uint32_t frame) const;
  bool may_begin() const { return error_ == Error::kNone && begun_ < slot_->view.frame_count(); }
  void submit_deflate_frames();
  uint32_t collect_deflate_frames();
  void decode_frame();
  void end_slot();

  InflateEngine& inflate_;
  CoderWorkspace& workspace_;
  FrameDecoder decoder_;
  LaneSpeed& speed_;
  Slot* slot_ = nullptr;
  std::span<std::byte> values_;
  ValueStores stores_ = ValueStores::kStreaming;
  uint64_t begun_ns_ = 0;
  uint32_t begun_ = 0;  ///< frames decoded or with the engine
  uint32_t ended_ = 0;  ///< of these, decoded or failed
  Error error_ = Error::kNone;
};

}  // namespace shadowserve
