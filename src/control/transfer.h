// The engine's half of a transfer: checks what it asks for, hands jobs to the link thread, collects events.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>

#include "control/client_options.h"
#include "control/link_thread.h"
#include "control/transfer_worker.h"

namespace shadowserve {

/// What ss_transfer is. Every call from one thread at a time; none blocks.
class Transfer {
 public:
  /// `clock` must outlive it. Without a thread the owner steps worker() itself (tests, the simulator).
  enum class Thread : uint8_t { kOwn, kStepped };
  Transfer(ClientOptions options, const Clock& clock, Thread thread = Thread::kOwn);

  /// Once.
  Result<void> register_pages(const ss_pages& pages, std::string& message);
  /// The same, with a mover of the caller's.
  void use_pages(const PagedTokens& pages, std::unique_ptr<PageMover> mover);
  /// See ss_transfer_fence().
  Result<void> fence(void* cuda_stream);

  /// What a fetch or save asks for; see ss_fetch() and ss_save().
  struct Ask {
    uint64_t id = 0;
    const uint8_t* keys = nullptr;
    uint32_t first_chunk = 0;
    uint32_t chunks = 0;
    uint32_t first_token = 0;
    std::span<const int32_t> page_ids;
  };
  /// Every ask ends with one event, also one that is refused here: kConfig (no pages registered, or page_ids
  /// wrong), kNoCapacity (too many jobs whose events were not polled).
  Result<void> fetch(const Ask& ask) { return start(SS_FETCHED, ask); }
  Result<void> save(const Ask& ask) { return start(SS_GATHERED, ask); }
  void cancel(uint64_t id);
  size_t poll(std::span<ss_event> events);
  void read_stats(ss_transfer_stats& out) const;

  const ClientOptions& options() const { return options_; }
  TransferWorker& worker() { return worker_; }

 private:
  Result<void> start(ss_event_kind kind, const Ask& ask);
  Result<void> refuse(ss_event_kind kind, const Ask& ask, Error error);
  bool sane(ss_event_kind kind, const Ask& ask) const;
  void wake_if(bool asleep) {
    if (asleep && thread_) thread_->wake();
  }

  const ClientOptions options_;
  const Clock& clock_;
  std::shared_ptr<const PagedTokens> pages_;
  std::unique_ptr<PageMover> mover_;
  std::shared_ptr<const StreamFence> fence_;
  std::unordered_multimap<uint64_t, std::shared_ptr<TransferJob>> open_;
  std::deque<ss_event> refused_;
  uint64_t serial_ = 0;
  TransferCounters counters_;
  TransferWorker worker_;
  std::unique_ptr<LinkThread> thread_;  // last: it stops before anything it uses goes
};

}  // namespace shadowserve
