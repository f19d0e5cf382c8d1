// The plane's one exit: every slot, whatever became of it, is answered here and becomes free again.
#pragma once

#include <vector>

#include "plane/funnel.h"
#include "plane/lane_ledger.h"
#include "plane/session.h"
#include "plane/stage.h"

namespace shadowserve {

/// Runs on the thread that admits, because slots are taken and given back by one thread.
class ReplyStage final : public Stage {
 public:
  ReplyStage(const Clock& clock, SlotPool& pool, Funnels& funnels, LaneLedger& ledger)
      : clock_(clock), pool_(pool), funnels_(funnels), ledger_(ledger) {}
  void add_input(Pipe& pipe) { inputs_.push_back(&pipe); }
  std::string_view name() const override { return "reply"; }
  uint32_t step(uint64_t now_ns) override;
  uint32_t queue() const override;

 private:
  void answer(Slot& slot);
  const Clock& clock_;
  SlotPool& pool_;
  Funnels& funnels_;
  LaneLedger& ledger_;
  std::vector<Pipe*> inputs_;
};

}  // namespace shadowserve
