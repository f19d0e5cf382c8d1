// Stage 3 of a fetch: symbols and scales to values in the canonical layout.
#pragma once

#include "plane/stage.h"

namespace shadowserve {

class DequantizeStage final : public SlotStage {
 public:
  using SlotStage::SlotStage;
  std::string_view name() const override { return "dequantize"; }

 protected:
  void begin(Slot& slot) override;
  uint32_t poll_work() override;
  bool ready() const override { return slot_ == nullptr; }

 private:
  Slot* slot_ = nullptr;
  uint32_t next_frame_ = 0;
};

}  // namespace shadowserve
