// Stage 1 of a save: values out of the engine's staging memory, by the copy engine.
#pragma once

#include "plane/stage.h"
#include "world/copy_engine.h"

namespace shadowserve {

class CollectStage final : public SlotStage {
 public:
  CollectStage(SlotPool& pool, const Clock& clock, CopyEngine& engine)
      : SlotStage(pool, clock), engine_(engine) {}
  std::string_view name() const override { return "collect"; }

 protected:
  void begin(Slot& slot) override;
  uint32_t poll_work() override;

 private:
  CopyEngine& engine_;
};

}  // namespace shadowserve
