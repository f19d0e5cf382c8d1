// Counters of one stage: written by its thread, read by anyone, never reset.
#pragma once

#include <atomic>
#include <cstdint>

namespace shadowserve {

/// One writer per counter, so that adding is a plain load and store, never a locked instruction.
class Counter {
 public:
  void add(uint64_t amount) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  uint64_t read() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct alignas(64) StageCounters {
  Counter slots;      ///< slots that left the stage
  Counter failed;     ///< of these, with an error that arose here
  Counter bytes_in;   ///< bytes read by the stage's work
  Counter bytes_out;  ///< bytes written by the stage's work
  /// Bytes read from or written to slots and staging: traffic that leaves the core's nearest caches, or may.
  Counter bytes_moved;
  Counter busy_ns;  ///< time inside begin() and poll() while there was work
  Counter wait_ns;  ///< sum over slots: entered the stage's queue -> left the stage
};

}  // namespace shadowserve
