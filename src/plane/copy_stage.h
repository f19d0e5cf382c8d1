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

/// One copy a slot: a part is at most 2 MiB, the size at which DMA engines reach their full rate. While an
/// engine is busy one slot waits here for it, and all others behind it in the pipes, in their order; a slot
/// whose deadline passes meanwhile leaves without having been copied.
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
  bool ready() const override { return waiting_ == nullptr; }

 private:
  void submit(Slot& slot);
  uint32_t submit_waiting();
  uint32_t poll_engine(int device, uint32_t& under_way);

  CopyEngines& engines_;
  CopyDirection direction_;
  Slot* waiting_ = nullptr;                            ///< its engine was busy
  std::array<uint32_t, kDevicesMax + 1> under_way_{};  ///< by device, this core's first
};

}  // namespace shadowserve
