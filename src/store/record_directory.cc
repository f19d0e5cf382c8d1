// A hash map over a list.
#include "store/record_directory.h"

namespace shadowserve {

std::optional<bool> RecordDirectory::try_contains(std::string_view key) const {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return std::nullopt;
  return by_key_.contains(key);
}

bool RecordDirectory::touch(std::string_view key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return false;
  found->second->used = true;
  return true;
}

void RecordDirectory::add(std::string_view key, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    bytes_ = bytes_ - found->second->bytes + bytes;
    found->second->bytes = bytes;
    order_.splice(order_.end(), order_, found->second);
    return;
  }
  order_.push_back({.key = std::string(key), .bytes = bytes});
  by_key_.emplace(order_.back().key, std::prev(order_.end()));
  bytes_ += bytes;
}

void RecordDirectory::forget(Order::iterator record) {
  bytes_ -= record->bytes;
  by_key_.erase(record->key);
}

void RecordDirectory::remove(std::string_view key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  const Order::iterator record = found->second;
  forget(record);
  order_.erase(record);
}

RecordDirectory::Plan RecordDirectory::make_room(uint64_t more_bytes, uint64_t limit_bytes,
                                                 uint64_t renew_bytes, std::string_view keep) {
  Plan plan;
  const std::lock_guard lock(mutex_);
  for (auto record = order_.begin(); record != order_.end() && bytes_ + more_bytes > limit_bytes;) {
    const auto next = std::next(record);
    if (record->key == keep) {
      // about to be replaced
    } else if (!fifo_ && record->used && record->bytes <= renew_bytes) {
      renew_bytes -= record->bytes;
      record->used = false;
      plan.renewed.push_back(*record);
      order_.splice(order_.end(), order_, record);
    } else {
      forget(record);
      plan.evicted.push_back(std::move(*record));
      order_.erase(record);
      ++evicted_;
    }
    record = next;
  }
  return plan;
}

void RecordDirectory::restore(const std::vector<Record>& evicted) {
  const std::lock_guard lock(mutex_);
  for (auto record = evicted.rbegin(); record != evicted.rend(); ++record) {
    order_.push_front(*record);
    by_key_.emplace(order_.front().key, order_.begin());
    bytes_ += record->bytes;
    --evicted_;
  }
}

RecordDirectory::Usage RecordDirectory::usage() const {
  const std::lock_guard lock(mutex_);
  return {bytes_, by_key_.size(), evicted_};
}

}  // namespace shadowserve
