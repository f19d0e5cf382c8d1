// Keys known to be stored or being saved: a bounded set that forgets the least recently used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <list>
#include <unordered_map>

#include "chunk/chunk_key.h"

namespace shadowserve {

/// Spares the engine saving a chunk twice. Forgetting costs one more save, never correctness. One thread.
class SavedSet {
 public:
  static constexpr size_t kEntriesMax = 64 * 1024;
  explicit SavedSet(size_t entries_max = kEntriesMax) : entries_max_(entries_max) {}

  /// True when it was not known: the caller should save it. Known from now on.
  bool claim(const ChunkKey& key, uint64_t now_ns) { return put(key, now_ns); }
  /// Seen in the store.
  void remember(const ChunkKey& key, uint64_t now_ns) { put(key, now_ns); }
  void forget(const ChunkKey& key) {
    const auto found = index_.find(key);
    if (found == index_.end()) return;
    order_.erase(found->second);
    index_.erase(found);
  }
  /// Not seen in the store: forget it, unless it was put at or after `since_ns` and may still be on its way.
  void forget_older(const ChunkKey& key, uint64_t since_ns) {
    const auto found = index_.find(key);
    if (found != index_.end() && found->second->put_ns < since_ns) forget(key);
  }
  size_t size() const { return index_.size(); }

 private:
  struct Entry {
    ChunkKey key;
    uint64_t put_ns;
  };
  struct Hash {  // keys are SHA-256: any eight bytes of them are a hash
    size_t operator()(const ChunkKey& key) const {
      size_t hash;
      std::memcpy(&hash, key.data(), sizeof hash);
      return hash;
    }
  };
  bool put(const ChunkKey& key, uint64_t now_ns) {
    const auto found = index_.find(key);
    if (found != index_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return false;
    }
    if (index_.size() >= entries_max_) {
      index_.erase(order_.back().key);
      order_.pop_back();
    }
    order_.push_front({key, now_ns});
    index_.emplace(key, order_.begin());
    return true;
  }

  const size_t entries_max_;
  std::list<Entry> order_;  // most recently used first
  std::unordered_map<ChunkKey, std::list<Entry>::iterator, Hash> index_;
};

}  // namespace shadowserve
