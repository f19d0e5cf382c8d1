// The link thread's half of a lookup: a question per chunk and shard, the leading run of answers, deadlines.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "control/client_options.h"
#include "control/link_thread.h"
#include "control/local_ring.h"
#include "control/plane_link.h"

namespace shadowserve {

/// Counters of ss_lookup_stats; written by both threads, read by any.
struct LookupCounters {
  std::atomic<uint64_t> asked{0}, found{0}, missing{0}, timed_out{0}, without_plane{0}, breaker{0};
  std::atomic<uint64_t> connects{0}, disconnects{0};
  std::atomic<uint32_t> connected{0};
};

enum class Answer : uint8_t { kNone = 0, kStored, kMissing, kFailed };

/// One prompt's question. Shared by both threads; everything but the atomics is immutable once handed over.
struct LookupJob {
  std::vector<ChunkKey> keys;
  uint64_t deadline_ns = 0;
  std::shared_ptr<LookupJob> self;  ///< keeps it alive on its way through the command ring

  /// SS_PENDING, or the outcome: leading stored chunks, and above them the Error that cut the run short.
  /// Decided once, by whichever thread gets there first.
  std::atomic<int64_t> outcome{SS_PENDING};
  int64_t result() const {
    const int64_t value = outcome.load(std::memory_order_acquire);
    return value < 0 ? value : value & UINT32_MAX;
  }
  bool decided() const { return result() != SS_PENDING; }
  /// REQUIRES decided().
  Error error() const { return static_cast<Error>(outcome.load(std::memory_order_acquire) >> 32); }

  /// Written by the link thread; once the job is decided, taken by the engine's.
  std::unique_ptr<std::atomic<Answer>[]> answers;

  // link thread
  size_t next = 0;   ///< first question not asked yet: chunk after chunk, each with its shards
  uint32_t run = 0;  ///< leading chunks known to be stored, all shards of them
  /// Of each chunk: shards that have yet to say they have it; 0 once its answer is known.
  std::vector<uint32_t> shards_left;
};

class LookupWorker final : public LinkDuty {
 public:
  /// Questions on their way to the link thread; more are answered "compute".
  static constexpr uint32_t kCommandsMax = 4096;
  /// The plane ends a late question itself; this is how long we wait for that.
  static constexpr uint64_t kGraceNs = 5 * kNsPerMs;
  static constexpr uint64_t kSilenceNs = 1'000 * kNsPerMs;

  LookupWorker(const ClientOptions& options, const Clock& clock, LookupCounters& counters);
  ~LookupWorker() override;

  // ---- engine's thread
  /// False: no room. `wake` says whether the link thread sleeps and must be woken.
  bool hand_over(std::shared_ptr<LookupJob> job, bool& wake);

  // ---- either thread
  /// Decides the job unless it is decided, and counts its chunks, each shard's; true when this call did.
  bool decide(LookupJob& job, uint32_t run, Error error);

  // ---- link thread
  bool step() override;
  bool prepare_sleep() override { return commands_->prepare_sleep() && link_.prepare_sleep(); }
  void end_sleep() override;
  uint64_t wake_at_ns() const override;
  PlaneLink& link() override { return link_; }
  uint32_t in_flight() const { return in_flight_; }

 private:
  struct Slot {
    uint64_t ticket = 0;  // 0: free
    uint64_t deadline_ns = 0;
    std::shared_ptr<LookupJob> job;
    uint32_t chunk = 0;
  };
  bool take_commands();
  bool take_replies();
  bool send_questions();
  bool send_one(const std::shared_ptr<LookupJob>& job);
  void answered(const std::shared_ptr<LookupJob>& job, uint32_t chunk, Error error);
  void end_expired();
  void plane_lost();

  const Clock& clock_;
  const uint32_t shards_;
  LookupCounters& counters_;
  PlaneLink link_;
  LocalRing<LookupJob*> commands_;
  std::deque<std::shared_ptr<LookupJob>> jobs_;  // undecided ones, oldest first
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  uint64_t generation_ = 0;
  uint32_t in_flight_ = 0;
  uint32_t strange_replies_ = 0;
  uint64_t silence_check_ns_ = 0;
};

}  // namespace shadowserve
