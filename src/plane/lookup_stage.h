// Existence lookups: each request of a link becomes one batched question to the store.
#pragma once

#include <vector>

#include "plane/funnel.h"
#include "plane/session.h"
#include "plane/stage.h"
#include "store/record_store.h"

namespace shadowserve {

/// Runs on the thread that admits. Lookups own no slot: they move no bulk and must not wait for it, which is
/// why they also have a store client of their own.
class LookupStage final : public Stage {
 public:
  /// At most this many lookups are with the store; more wait in the sessions' rings.
  static constexpr uint32_t kDepth = kLinkRingEntries;

  LookupStage(const Clock& clock, RecordStore& store, Funnel& funnel);
  std::string_view name() const override { return "lookup"; }
  uint32_t step(uint64_t now_ns) override;
  uint32_t queue() const override { return kDepth - static_cast<uint32_t>(free_.size()); }
  int wake_fd() const override { return store_.wake_fd(); }

  bool has_room() const { return !free_.empty(); }
  /// REQUIRES has_room(). Answers the session now or later.
  void submit(Session& session, const LinkRequest& request, uint64_t now_ns);

 private:
  struct Asked {
    Session* session = nullptr;
    uint64_t ticket = 0;
    uint64_t asked_ns = 0;
  };
  void answer(const Asked& asked, Error error);

  const Clock& clock_;
  RecordStore& store_;
  Funnel& funnel_;
  std::vector<Asked> asked_;
  std::vector<uint32_t> free_;
};

}  // namespace shadowserve
