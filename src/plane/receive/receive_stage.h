// Stage 1 of a fetch: the record's bytes from the store straight into the slot.
#pragma once

#include "plane/stage.h"
#include "store/record_store.h"

namespace shadowserve {

class ReceiveStage final : public SlotStage {
 public:
  ReceiveStage(SlotPool& pool, const Clock& clock, RecordStore& store)
      : SlotStage(pool, clock), store_(store) {}
  std::string_view name() const override { return "receive"; }
  int wake_fd() const override { return store_.wake_fd(); }

 protected:
  void begin(Slot& slot) override;
  uint32_t poll_work() override;
  bool polls_when_idle() const override { return true; }

 private:
  RecordStore& store_;
};

}  // namespace shadowserve
