// Which records the embedded store holds, how large they are, and which one goes next. In memory.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace shadowserve {

/// Any thread. The lock is held for a few list operations at a time, never during I/O.
class RecordDirectory {
 public:
  struct Record {
    std::string key;
    uint64_t bytes = 0;
  };

  explicit RecordDirectory(bool fifo) : fifo_(fifo) {}

  /// Whether the record is there; empty when the lock is taken just now. Never waits, never allocates.
  std::optional<bool> try_contains(std::string_view key) const;
  /// Whether the record is there; marks it as used.
  bool touch(std::string_view key);
  /// Adds a record, or replaces it, as the youngest.
  void add(std::string_view key, uint64_t bytes);
  void remove(std::string_view key);
  /// Removes records, the next to go first, until `more_bytes` fit under `limit_bytes`, sparing `keep`.
  std::vector<Record> evict(uint64_t more_bytes, uint64_t limit_bytes, std::string_view keep);
  /// Undoes evict(): they are the next to go again.
  void restore(const std::vector<Record>& records);

  struct Usage {
    uint64_t bytes = 0, records = 0, evicted = 0;
  };
  Usage usage() const;

 private:
  using Order = std::list<Record>;  // the next to go is in front
  void forget(Order::iterator record);

  const bool fifo_;
  mutable std::mutex mutex_;
  Order order_;
  std::unordered_map<std::string_view, Order::iterator> by_key_;  // views into order_
  uint64_t bytes_ = 0, evicted_ = 0;
};

}  // namespace shadowserve
