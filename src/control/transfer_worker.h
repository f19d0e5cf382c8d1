// The link thread's half of a transfer: turns jobs into parts, places and gathers them, keeps every deadline.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "control/client_options.h"
#include "control/fetch_job.h"
#include "control/link_thread.h"
#include "control/local_ring.h"
#include "control/page_mover.h"
#include "control/plane_link.h"
#include "control/save_job.h"
#include "control/staging_table.h"

namespace shadowserve {

/// Counters of ss_transfer_stats; written by both threads, read by any.
struct TransferCounters {
  std::atomic<uint64_t> fetch_asked{0}, fetch_placed{0}, save_asked{0}, save_stored{0};
  std::atomic<uint64_t> fetch_failed[kErrorCount] = {}, save_failed[kErrorCount] = {};
  std::atomic<uint64_t> fetch_wire_bytes{0}, fetch_value_bytes{0}, save_wire_bytes{0}, save_value_bytes{0};
  std::atomic<uint64_t> fetches{0}, fetch_us_total{0}, place_us_total{0}, gather_us_total{0};
  std::atomic<uint64_t> connects{0}, disconnects{0};
  std::atomic<uint32_t> connected{0};
};

struct TransferEvent {
  ss_event event{};
  uint64_t serial = 0;
};

class TransferWorker final : public LinkDuty {
 public:
  /// Jobs between ss_fetch()/ss_save() and the poll of their event; bounds every queue here.
  static constexpr uint32_t kJobsMax = 4096;
  /// The plane ends a late part itself; this is how long we wait for that before we stop waiting.
  static constexpr uint64_t kGraceNs = 20 * kNsPerMs;
  /// A plane that is silent for this long behind a deadline is stuck: the link is replaced.
  static constexpr uint64_t kSilenceNs = 1'000 * kNsPerMs;
  /// Parts that have arrived wait at most this long for others to be moved with.
  static constexpr uint64_t kHoldMovesNs = 20 * kNsPerMs;
  /// Jobs wait this long for a link that is just starting or coming back.
  static constexpr uint64_t kLinkPatienceNs = 500 * kNsPerMs;

  TransferWorker(const ClientOptions& options, const Clock& clock, TransferCounters& counters);
  ~TransferWorker() override;

  // ---- engine's thread
  /// True: the link thread sleeps and must be woken. REQUIRES fewer than kJobsMax jobs.
  bool hand_over(std::shared_ptr<TransferJob> job);
  /// A job was withdrawn; same result.
  bool nudge();
  bool take_event(TransferEvent& event) { return events_->pop(event); }
  /// Before the first job; `mover` outlives the link thread.
  void use(PageMover& mover) { mover_.store(&mover, std::memory_order_release); }

  // ---- link thread
  bool step() override;
  bool prepare_sleep() override;
  void end_sleep() override;
  uint64_t wake_at_ns() const override;
  PlaneLink& link() override { return link_; }
  const StagingTable& staging() const { return staging_; }
  bool idle() const { return fetches_.empty() && saves_.empty() && moves_under_way_ == 0; }

 private:
  bool take_commands();
  bool take_replies();
  void start_move(PagedDirection direction, TransferJob& job, uint32_t region, const LinkReply& reply);
  bool take_moved();
  void flush_moves(bool at_once);
  bool more_will_come() const;
  void placed(FetchJob& job, uint32_t region, const LinkReply& reply, Error error);
  void gathered(SaveJob& job, uint32_t region, Error error);
  void fetch_answered(FetchJob& job, uint32_t region, const LinkReply& reply);
  void save_answered(SaveJob& job, uint32_t region, const LinkReply& reply);
  bool send_fetches();
  bool gather_saves();
  void send_save(SaveJob& job, uint32_t region);
  bool send(TransferJob& job, uint32_t region);
  void end_withdrawn();
  void end_expired();
  void end_all_in_flight();
  /// Now, or as soon as nothing of the job moves any more.
  void finish(FetchJob& job, Error error);
  void finish(SaveJob& job, Error error);
  /// True: finish() has to wait.
  static bool ends_later(TransferJob& job, Error error);
  void say_gathered(SaveJob& job, Error error);
  void emit(const TransferJob& job, Error error, uint32_t chunks_placed);

  const ClientOptions options_;
  const Clock& clock_;
  TransferCounters& counters_;
  PlaneLink link_;
  StagingTable staging_;
  std::atomic<PageMover*> mover_{nullptr};
  /// By region: at most one move each.
  struct Move {
    std::shared_ptr<TransferJob> job;
    LinkReply reply;  ///< placing: what it brought
    uint64_t began_ns = 0;
  };
  std::vector<Move> moves_;
  uint32_t moves_under_way_ = 0;
  /// Of those: started since the last flush, and when the first of them was.
  uint32_t moves_held_ = 0;
  uint64_t held_since_ns_ = 0;
  /// The link was lost while parts moved: no region is used again before these have ended.
  bool moves_are_stale_ = false;
  LocalRing<TransferJob*> commands_;
  LocalRing<TransferEvent> events_;
  std::atomic<uint32_t> withdrawals_{0};
  uint32_t withdrawals_seen_ = 0;
  uint32_t strange_replies_ = 0;
  uint64_t silence_check_ns_ = 0;
  std::deque<std::shared_ptr<FetchJob>> fetches_;
  std::deque<std::shared_ptr<SaveJob>> saves_;
};

}  // namespace shadowserve
