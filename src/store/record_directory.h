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
    bool used = false;  ///< since it was written; gives it a second turn
  };

  /// `fifo`: records go in the order in which they were written, used or not.
  explicit RecordDirectory(bool fifo) : fifo_(fifo) {}

  /// Whether the record is there; empty when the lock is taken just now. Never waits, never allocates.
  std::optional<bool> try_contains(std::string_view key) const;
  /// Whether the record is there; marks it as used.
  bool touch(std::string_view key);
  /// Adds a record, or replaces it, as the youngest.
  void add(std::string_view key, uint64_t bytes);
  void remove(std::string_view key);

  /// What it takes to make room.
  struct Plan {
    std::vector<Record> evicted;  ///< gone from the directory, to be deleted
    std::vector<Record> renewed;  ///< now among the youngest, to be written again
  };
  /// Takes records, oldest first, until `more_bytes` fit under `limit_bytes`, sparing `keep`: those that were
  /// used are renewed, up to `renew_bytes` of them, the others evicted.
  Plan make_room(uint64_t more_bytes, uint64_t limit_bytes, uint64_t renew_bytes, std::string_view keep);
  /// Puts evicted records back: they are the next to go again.
  void restore(const std::vector<Record>& evicted);

  struct Usage {
    uint64_t bytes = 0, records = 0, evicted = 0;
  };
  Usage usage() const;

 private:
  using Order = std::list<Record>;  // as written: the oldest is in front
  void forget(Order::iterator record);

  const bool fifo_;
  mutable std::mutex mutex_;
  Order order_;
  std::unordered_map<std::string_view, Order::iterator> by_key_;  // views into order_
  uint64_t bytes_ = 0, evicted_ = 0;
};

}  // namespace shadowserve
