// Stage 2 of a save: values to symbols and scales by the session's profile.
#pragma once

#include "plane/stage.h"

namespace shadowserve {

class QuantizeStage final : public SlotStage {
 public:
  using SlotStage::SlotStage;
  std::string_view name() const override { return "quantize"; }

 protected:
  void begin(Slot& slot) override;
};

}  // namespace shadowserve
