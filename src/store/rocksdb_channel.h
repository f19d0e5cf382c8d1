// What a client of the embedded store and the store's threads share: operations and the rings that carry
// them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "memory/spsc_ring.h"
#include "store/record_store.h"

namespace shadowserve {

/// Who may touch an operation's memory. The caller's deadline can be kept although a thread of the store is
/// stuck in the disk: that thread claims the memory only for the moment in which it copies.
enum class Hold : uint8_t {
  kNobody,     ///< waiting, or the store works without the caller's memory
  kCopying,    ///< a thread of the store copies; a deadline waits for it
  kAbandoned,  ///< completed at its deadline; the store must not touch the memory any more
};

struct RocksdbOperation {
  enum class Kind : uint8_t { kGet, kPut };
  Kind kind = Kind::kGet;
  StoreKey key;
  std::span<std::byte> into;
  std::span<const std::byte> from;
  uint64_t ticket = 0;
  uint64_t deadline_ns = 0;
  std::atomic<Hold> hold{Hold::kNobody};
  bool open = false;           ///< accepted and not yet completed; the client's alone
  Error error = Error::kNone;  ///< written by the store before it hands the operation back
  size_t bytes = 0;

  /// Store: before and after copying. False when the operation was abandoned.
  bool claim() {
    Hold expected = Hold::kNobody;
    return hold.compare_exchange_strong(expected, Hold::kCopying, std::memory_order_acq_rel);
  }
  void release() { hold.store(Hold::kNobody, std::memory_order_release); }
  /// Client: at the deadline. False while the store copies: try again shortly.
  bool abandon() {
    Hold expected = Hold::kNobody;
    return hold.compare_exchange_strong(expected, Hold::kAbandoned, std::memory_order_acq_rel);
  }
};

/// A ring in memory of its own.
class SlotRing {
 public:
  explicit SlotRing(uint32_t entries);
  SpscRing<uint32_t> ring;

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::unique_ptr<Line[]> memory_;
};

/// Shared by one client and all store threads; each pair of them has a ring each way, so every ring has one
/// producer and one consumer.
class RocksdbChannel {
 public:
  RocksdbChannel(const Clock& clock, uint32_t depth, uint32_t threads);
  ~RocksdbChannel();
  RocksdbChannel(const RocksdbChannel&) = delete;
  RocksdbChannel& operator=(const RocksdbChannel&) = delete;

  struct Lane {
    std::unique_ptr<SlotRing> requests, replies;
  };
  /// Store thread: hands an operation back and wakes the client.
  void finish(uint32_t thread, uint32_t slot);
  /// Client, before it looks at the replies. True when some came since.
  bool clear_doorbell();

  const Clock& clock;
  std::vector<RocksdbOperation>
      operations;                    ///< twice the depth: abandoned ones stay until they are handed back
  std::vector<Lane> lanes;           ///< one a store thread
  int doorbell = -1;                 ///< eventfd of the client
  std::atomic<bool> closing{false};  ///< the client leaves: hand everything back untouched

 private:
  std::atomic<bool> rung_{false};
};

}  // namespace shadowserve
