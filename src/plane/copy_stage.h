// Stage 4 of a fetch and stage 1 of a save: values to or from the engine's staging memory, by a copy engine.
#pragma once

#include <array>

#include "plane/copy_engines.h"
#include "plane/stage.h"

namespace shadowserve {

enum class CopyDirection : uint8_t {
  kDeliver,  ///< slot to staging
  kCollect,  ///< staging to slot
};

/// One copy a slot: a part is at most 2 MiB, the size at which DMA engines reach their full rate.
class CopyStage final : public SlotStage {
 public:
  CopyStage(SlotPool& pool, const Clock& clock, CopyEngines& engines, CopyDirection direction)
      : SlotStage(pool, clock), engines_(engines), direction_(direction) {}
  std::string_view name() const override {
    return direction_ == CopyDirection::kDeliver ? "deliver" : "collect";
  }

 protected:
  void begin(Slot& slot) override;
  uint32_t poll_work() override;

 private:
  uint32_t poll_engine(int device, uint32_t& under_way);

  CopyEngines& engines_;
  CopyDirection direction_;
  std::array<uint32_t, kDevicesMax + 1> under_way_{};  ///< by device, this core's first
};

}  // namespace shadowserve
