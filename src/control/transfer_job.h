// What a fetch and a save have in common: whose pages, which chunks, until when, and whether they were
// withdrawn.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "chunk/chunk_key.h"
#include "contract/error.h"
#include "control/page_mover.h"
#include "shadowserve/shadowserve.h"

namespace shadowserve {

/// As the engine asked for it. Immutable.
struct JobOrder {
  ss_event_kind kind = SS_FETCHED;
  uint64_t id = 0;      ///< the engine's; several jobs may share one
  uint64_t serial = 0;  ///< ours
  std::vector<ChunkKey> keys;
  uint32_t first_chunk = 0;
  uint32_t first_token = 0;       ///< fetch: place from here on
  std::vector<int32_t> page_ids;  ///< of these chunks only
  std::shared_ptr<const PagedTokens> pages;
  std::shared_ptr<const StreamFence> after;  ///< pages on a GPU: behind this they are ours
  uint64_t asked_ns = 0;
  uint64_t deadline_ns = 0;
};

/// Made by the engine's thread, worked on by the link thread. Only `order` and the flag are shared.
class TransferJob {
 public:
  explicit TransferJob(JobOrder given) : order(std::move(given)) {}
  virtual ~TransferJob() = default;

  const JobOrder order;
  /// Keeps the job alive on its way through the command ring.
  std::shared_ptr<TransferJob> self;

  /// Engine's thread. Whatever it writes to the pages afterwards is seen only together with the flag: the
  /// fence orders them, as in a sequence lock.
  void withdraw() {
    withdrawn_.store(true, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  bool withdrawn() const { return withdrawn_.load(std::memory_order_seq_cst); }
  /// Link thread, right after reading pages: false when they may have been overwritten meanwhile.
  bool still_wanted() const {
    std::atomic_thread_fence(std::memory_order_acquire);
    return !withdrawn_.load(std::memory_order_acquire);
  }

  // Link thread only.
  uint32_t moves = 0;           ///< parts on their way between staging and pages
  uint32_t moves_held = 0;      ///< of those: not handed over yet
  std::optional<Error> ending;  ///< it has failed, and ends as soon as nothing of it moves any more

  uint32_t chunks() const { return static_cast<uint32_t>(order.keys.size()); }
  std::span<const int32_t> chunk_pages(uint32_t chunk) const {
    const uint32_t each = order.pages->pages_per_chunk();
    return {order.page_ids.data() + size_t{chunk} * each, each};
  }

 private:
  std::atomic<bool> withdrawn_{false};
};

}  // namespace shadowserve
