// Stage 4 of a save: the record from the slot to the store.
#pragma once

#include "plane/stage.h"
#include "store/record_store.h"

namespace shadowserve {

class SendStage final : public SlotStage {
 public:
  SendStage(SlotPool& pool, const Clock& clock, RecordStore& store) : SlotStage(pool, clock), store_(store) {}
  std::string_view name() const override { return "send"; }
  int wake_fd() const override { return store_.wake_fd(); }

 protected:
  void begin(Slot& slot) override;
  uint32_t poll_work() override;
  bool polls_when_idle() const override { return true; }

 private:
  RecordStore& store_;
};

}  // namespace shadowserve
