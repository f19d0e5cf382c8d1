// Stage 3 of a save: symbols and scales to a sealed record.
#pragma once

#include "plane/stage.h"

namespace shadowserve {

class CompressStage final : public SlotStage {
 public:
  CompressStage(SlotPool& pool, const Clock& clock, CoderWorkspace& workspace)
      : SlotStage(pool, clock), workspace_(workspace) {}
  std::string_view name() const override { return "compress"; }
  void prepare_thread() override { prepare_seals_on_this_thread(); }

 protected:
  void begin(Slot& slot) override;

 private:
  CoderWorkspace& workspace_;
};

}  // namespace shadowserve
