// Stage 4 of a fetch: values into the engine's staging memory, by the copy engine.
#pragma once

#include "plane/stage.h"
#include "world/copy_engine.h"

namespace shadowserve {

class DeliverStage final : public SlotStage {
 public:
  DeliverStage(SlotPool& pool, const Clock& clock, CopyEngine& engine)
      : SlotStage(pool, clock), engine_(engine) {}
  std::string_view name() const override { return "deliver"; }

 protected:
  void begin(Slot& slot) override;
  uint32_t poll_work() override;

 private:
  CopyEngine& engine_;
};

}  // namespace shadowserve
