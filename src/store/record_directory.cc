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
  if (!fifo_) order_.splice(order_.end(), order_, found->second);
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
  order_.push_back({std::string(key), bytes});
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

std::vector<RecordDirectory::Record> RecordDirectory::evict(uint64_t more_bytes, uint64_t limit_bytes,
                                                            std::string_view keep) {
  std::vector<Record> out;
  const std::lock_guard lock(mutex_);
  for (auto record = order_.begin(); record != order_.end() && bytes_ + more_bytes > limit_bytes;) {
    if (record->key == keep) {
      ++record;
      continue;
    }
    forget(record);
    out.push_back(std::move(*record));
    record = order_.erase(record);
    ++evicted_;
  }
  return out;
}

void RecordDirectory::restore(const std::vector<Record>& records) {
  const std::lock_guard lock(mutex_);
  for (auto record = records.rbegin(); record != records.rend(); ++record) {
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
