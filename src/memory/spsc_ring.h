// A bounded single-producer single-consumer ring; lives in process memory or in memory two processes share.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>

#include "contract/check.h"

namespace shadowserve {

/// The ring's shared state. Positions only grow; `tail - head` is the number of entries waiting.
/// Each side's position has a cache line of its own, so producer and consumer do not fight for one.
struct RingHeader {
  alignas(64) std::atomic<uint64_t> head{0};  ///< next entry to read; written by the consumer only
  alignas(64) std::atomic<uint64_t> tail{0};  ///< next entry to write; written by the producer only
  /// Set by a consumer that is about to sleep; a producer that sees it after publishing rings the doorbell.
  alignas(64) std::atomic<uint32_t> consumer_sleeps{0};
};
static_assert(std::atomic<uint64_t>::is_always_lock_free, "rings are shared between processes");

/// A view over a RingHeader and `capacity` entries placed right behind it. Copyable; owns nothing.
/// Exactly one thread pushes and exactly one thread pops. No call blocks or allocates.
template <typename Entry>
class SpscRing {
  static_assert(std::is_trivially_copyable_v<Entry>, "entries may cross processes");

 public:
  SpscRing() = default;

  /// Bytes to provide for a ring of `capacity` entries (a power of two).
  static constexpr size_t bytes(uint32_t capacity) { return sizeof(RingHeader) + capacity * sizeof(Entry); }

  /// Makes an empty ring in `memory` (64-byte aligned, bytes(capacity) long).
  static SpscRing create(void* memory, uint32_t capacity) {
    new (memory) RingHeader();
    return attach(memory, capacity);
  }
  /// A view of a ring that create() made, perhaps in another process.
  static SpscRing attach(void* memory, uint32_t capacity) {
    SS_CHECK(capacity != 0 && (capacity & (capacity - 1)) == 0, "a ring's capacity is a power of two");
    SpscRing ring;
    ring.header_ = static_cast<RingHeader*>(memory);
    ring.entries_ = reinterpret_cast<Entry*>(static_cast<char*>(memory) + sizeof(RingHeader));
    ring.mask_ = capacity - 1;
    return ring;
  }

  /// False when the ring is full. Producer's thread.
  bool push(const Entry& entry) {
    const uint64_t tail = header_->tail.load(std::memory_order_relaxed);
    // A hostile peer may write any head: the difference is unsigned, so anything odd reads as full.
    if (tail - header_->head.load(std::memory_order_acquire) > mask_) return false;
    std::memcpy(static_cast<void*>(&entries_[tail & mask_]), &entry, sizeof(Entry));
    header_->tail.store(tail + 1, std::memory_order_release);
    return true;
  }

  /// False when the ring is empty. The entry is copied out, so a peer cannot change it afterwards.
  bool pop(Entry& out) {
    const uint64_t head = header_->head.load(std::memory_order_relaxed);
    if (header_->tail.load(std::memory_order_acquire) == head) return false;
    std::memcpy(static_cast<void*>(&out), &entries_[head & mask_], sizeof(Entry));
    header_->head.store(head + 1, std::memory_order_release);
    return true;
  }

  /// Entries waiting, as seen now by either side.
  uint32_t size() const {
    const uint64_t waiting =
        header_->tail.load(std::memory_order_acquire) - header_->head.load(std::memory_order_acquire);
    return static_cast<uint32_t>(waiting > mask_ + 1 ? mask_ + 1 : waiting);
  }
  bool empty() const { return size() == 0; }
  uint32_t capacity() const { return static_cast<uint32_t>(mask_ + 1); }

  /// Consumer: announce sleep. Returns false (and withdraws it) when an entry arrived meanwhile.
  bool prepare_sleep() {
    header_->consumer_sleeps.store(1, std::memory_order_relaxed);
    // Pairs with the fence in must_ring(): of "I sleep" and "here is an entry" at least one side sees the
    // other's.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!empty()) {
      header_->consumer_sleeps.store(0, std::memory_order_relaxed);
      return false;
    }
    return true;
  }
  void end_sleep() { header_->consumer_sleeps.store(0, std::memory_order_relaxed); }
  /// Producer, after push(): true when the consumer sleeps and needs its doorbell. Clears the flag, so that
  /// one sleep is rung once.
  bool must_ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (header_->consumer_sleeps.load(std::memory_order_relaxed) == 0) return false;
    return header_->consumer_sleeps.exchange(0, std::memory_order_acq_rel) != 0;
  }

 private:
  RingHeader* header_ = nullptr;
  Entry* entries_ = nullptr;
  uint64_t mask_ = 0;
};

}  // namespace shadowserve
