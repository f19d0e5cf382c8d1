// The plane's entrance: requests from every session's ring become slots in the pipeline, or lookups.
#pragma once

#include <span>

#include "plane/funnel.h"
#include "plane/lane_ledger.h"
#include "plane/lookup_stage.h"
#include "plane/session.h"
#include "plane/stage.h"

namespace shadowserve {

/// Takes turns between sessions, so that no engine starves another. A request that finds no free slot waits
/// here; fetches never wait behind saves. A fetch gets its lane here, before a byte of it is asked for.
class AdmitStage final : public Stage {
 public:
  AdmitStage(const Clock& clock, SlotPool& pool, std::span<Session> sessions, LookupStage& lookups,
             Funnels& funnels, LaneLedger& ledger, std::span<Pipe* const> to_receive,
             std::span<Pipe* const> to_collect);
  std::string_view name() const override { return "admit"; }
  uint32_t step(uint64_t now_ns) override;
  uint32_t queue() const override { return waiting_.load(std::memory_order_relaxed); }
  bool prepare_sleep() override;
  void end_sleep() override;

 private:
  /// A slot for each session that waits for one, in turns.
  uint32_t give_slots(uint64_t now_ns);
  uint32_t drain_ring(Session& session, uint64_t now_ns);
  Pipe& lane_for(Slot& slot);
  uint32_t fill_slots(Session& session, RequestQueue& waiting, bool saving, uint64_t now_ns);
  void let_go(Session& session);
  void refuse(Session& session, const LinkRequest& request, Error error);

  const Clock& clock_;
  SlotPool& pool_;
  std::span<Session> sessions_;
  LookupStage& lookups_;
  Funnels& funnels_;
  LaneLedger& ledger_;
  std::span<Pipe* const> to_receive_;
  std::span<Pipe* const> to_collect_;
  uint32_t next_session_ = 0;
  std::atomic<uint32_t> waiting_{0};
};

}  // namespace shadowserve
