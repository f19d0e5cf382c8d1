// Stage 2 of a fetch: checks the record, then coded frames to symbols through an inflate engine.
#pragma once

#include "plane/stage.h"
#include "world/inflate_engine.h"

namespace shadowserve {

class DecompressStage final : public SlotStage {
 public:
  DecompressStage(SlotPool& pool, const Clock& clock, InflateEngine& engine)
      : SlotStage(pool, clock), engine_(engine) {}
  std::string_view name() const override { return "decompress"; }
  void prepare_thread() override { prepare_seals_on_this_thread(); }

 protected:
  void begin(Slot& slot) override;
  uint32_t poll_work() override;
  /// One slot at a time: the engine's queue holds its frames, and what was decoded stays warm in the cache.
  bool ready() const override { return slot_ == nullptr; }

 private:
  void submit_frames();
  InflateEngine& engine_;
  Slot* slot_ = nullptr;
  uint32_t next_ = 0;       ///< frame
  uint32_t submitted_ = 0;  ///< to the engine
  uint32_t finished_ = 0;
  Error error_ = Error::kNone;
};

}  // namespace shadowserve
