// Stage 4 of a fetch and stage 1 of a save: values to or from the engine's staging memory, by a copy engine.
#pragma once

#include "plane/stage.h"
#include "world/copy_engine.h"

namespace shadowserve {

enum class CopyDirection : uint8_t {
  kDeliver,  ///< slot to staging
  kCollect,  ///< staging to slot
};

/// One copy a slot: a part is at most 2 MiB, the size at which DMA engines reach their full rate.
class CopyStage final : public SlotStage {
 public:
  CopyStage(SlotPool& pool, const Clock& clock, CopyEngine& engine, CopyDirection direction)
      : SlotStage(pool, clock), engine_(engine), direction_(direction) {}
  std::string_view name() const override {
    return direction_ == CopyDirection::kDeliver ? "deliver" : "collect";
  }

 protected:
  void begin(Slot& slot) override;
  uint32_t poll_work() override;

 private:
  CopyEngine& engine_;
  CopyDirection direction_;
};

}  // namespace shadowserve
