// What an engine or a shard holds of prompts: runs of consecutive chunks, the least recently used leave
// first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace shadowserve::fleet {

/// Keys are hashes already (fleet_random.h). Chunks are counted, not stored. One thread.
class RunCache {
 public:
  explicit RunCache(uint64_t capacity_chunks = 0) : capacity_(capacity_chunks) {}

  /// Chunks of the run that are held and ready by now; 0 when none are.
  uint32_t held(uint64_t key, int64_t now_ns) const;
  /// The same, and the run is the most recently used from now on (unless it is pinned).
  uint32_t use(uint64_t key, int64_t now_ns);
  /// Two steps towards the cache, for all keys of a prompt before the first of them is asked for: they lie
  /// all over the memory, and so they come at the same time.
  void prefetch_place(uint64_t key) const {
    if (!places_.empty()) __builtin_prefetch(&places_[key & (places_.size() - 1)]);
  }
  void prefetch_run(uint64_t key) const {
    if (places_.empty()) return;
    const Place& place = places_[key & (places_.size() - 1)];
    if (place.run != kNone) __builtin_prefetch(&runs_[place.run]);
  }
  /// Holds the run's first `chunks` chunks, as the most recently used; those that are new are ready at
  /// `ready_ns`. Others leave to make room. False, and nothing has changed, when there is no room for it.
  bool put(uint64_t key, uint32_t chunks, int64_t ready_ns);
  /// A pinned run does not leave. REQUIRES that it is held. Pins count.
  void pin(uint64_t key);
  /// The last unpin makes it the most recently used.
  void unpin(uint64_t key);
  /// Makes the least recently used leave until at most `chunks` are held. False when pinned ones are in the
  /// way.
  bool shrink_to(uint64_t chunks);
  void set_capacity(uint64_t chunks) { capacity_ = chunks; }
  /// Forgets everything, pinned or not.
  void clear();

  uint64_t used_chunks() const { return used_; }
  uint64_t pinned_chunks() const { return pinned_; }
  uint64_t capacity_chunks() const { return capacity_; }
  uint64_t evicted_chunks() const { return evicted_; }
  size_t runs() const { return count_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct alignas(32) Run {
    uint64_t key = 0;
    int64_t ready_ns = 0;
    uint32_t newer = kNone, older = kNone;  // while unpinned
    uint16_t chunks = 0, ready_before = 0;  // ready_before: what is ready before ready_ns
    uint32_t pins = 0;
  };
  struct Place {
    uint32_t key = 0;  ///< its lower half: most searches need not look at the run
    uint32_t run = kNone;
  };

  uint32_t find(uint64_t key) const;
  void insert_place(Place place);
  void erase_place(uint32_t run);
  void grow();
  void link(uint32_t run);
  void unlink(uint32_t run);
  void touch(uint32_t run);
  void drop(uint32_t run);

  uint64_t capacity_, used_ = 0, pinned_ = 0, evicted_ = 0;
  uint32_t newest_ = kNone, oldest_ = kNone;
  size_t count_ = 0;
  std::vector<Run> runs_;
  std::vector<uint32_t> free_;
  std::vector<Place> places_;  // open addressing, linear probing, a power of two
};

}  // namespace shadowserve::fleet
