// A hash table of runs in a list by use.
#include "sim/fleet/run_cache.h"

#include <algorithm>

#include "contract/check.h"

namespace shadowserve::fleet {

uint32_t RunCache::find(uint64_t key) const {
  if (places_.empty()) return kNone;
  const size_t mask = places_.size() - 1;
  for (size_t at = key & mask;; at = (at + 1) & mask) {
    const Place& place = places_[at];
    if (place.run == kNone) return kNone;
    if (place.key == static_cast<uint32_t>(key) && runs_[place.run].key == key) return place.run;
  }
}

void RunCache::insert_place(Place place) {
  const size_t mask = places_.size() - 1;
  size_t at = place.key & mask;
  while (places_[at].run != kNone) at = (at + 1) & mask;
  places_[at] = place;
}

// Later members of the same cluster move up, so that no tombstones are left behind.
void RunCache::erase_place(uint32_t run) {
  const size_t mask = places_.size() - 1;
  size_t hole = runs_[run].key & mask;
  while (places_[hole].run != run) hole = (hole + 1) & mask;
  for (size_t at = (hole + 1) & mask; places_[at].run != kNone; at = (at + 1) & mask) {
    const size_t home = places_[at].key & mask;
    if (((at - home) & mask) >= ((at - hole) & mask)) {
      places_[hole] = places_[at];
      hole = at;
    }
  }
  places_[hole] = Place{};
}

void RunCache::grow() {
  std::vector<Place> old(std::max<size_t>(16, places_.size() * 2));
  old.swap(places_);
  for (const Place& place : old) {
    if (place.run != kNone) insert_place(place);
  }
}

void RunCache::link(uint32_t run) {
  runs_[run].newer = kNone;
  runs_[run].older = newest_;
  (newest_ == kNone ? oldest_ : runs_[newest_].newer) = run;
  newest_ = run;
}

void RunCache::unlink(uint32_t run) {
  const Run& gone = runs_[run];
  (gone.newer == kNone ? newest_ : runs_[gone.newer].older) = gone.older;
  (gone.older == kNone ? oldest_ : runs_[gone.older].newer) = gone.newer;
}

void RunCache::drop(uint32_t run) {
  unlink(run);
  erase_place(run);
  used_ -= runs_[run].chunks;
  evicted_ += runs_[run].chunks;
  runs_[run].chunks = 0;
  free_.push_back(run);
  --count_;
}

uint32_t RunCache::held(uint64_t key, int64_t now_ns) const {
  const uint32_t run = find(key);
  if (run == kNone) return 0;
  return now_ns >= runs_[run].ready_ns ? runs_[run].chunks : runs_[run].ready_before;
}

uint32_t RunCache::use(uint64_t key, int64_t now_ns) {
  const uint32_t run = find(key);
  if (run == kNone) return 0;
  touch(run);
  return now_ns >= runs_[run].ready_ns ? runs_[run].chunks : runs_[run].ready_before;
}

void RunCache::touch(uint32_t run) {
  if (runs_[run].pins > 0 || run == newest_) return;
  unlink(run);
  link(run);
}

bool RunCache::put(uint64_t key, uint32_t chunks, int64_t ready_ns) {
  uint32_t run = find(key);
  const uint32_t had = run == kNone ? 0 : runs_[run].chunks;
  if (chunks <= had) {
    if (run != kNone) touch(run);
    return true;
  }
  // Out of the list meanwhile: it must not leave to make room for itself.
  if (run != kNone && runs_[run].pins == 0) unlink(run);
  const uint32_t more = chunks - had;
  const bool fits = capacity_ >= more && shrink_to(capacity_ - more);
  if (fits && run == kNone) {
    if (free_.empty()) {
      run = static_cast<uint32_t>(runs_.size());
      runs_.emplace_back();
    } else {
      run = free_.back();
      free_.pop_back();
    }
    runs_[run] = Run{};
    runs_[run].key = key;
    if (places_.size() < 2 * (count_ + 1)) grow();
    insert_place({static_cast<uint32_t>(key), run});
    ++count_;
  }
  if (fits) {
    runs_[run].ready_before = static_cast<uint16_t>(had);
    runs_[run].ready_ns = ready_ns;
    runs_[run].chunks = static_cast<uint16_t>(chunks);
    used_ += more;
    if (runs_[run].pins > 0) pinned_ += more;
  }
  if (run != kNone && runs_[run].pins == 0) link(run);
  return fits;
}

void RunCache::pin(uint64_t key) {
  const uint32_t run = find(key);
  SS_CHECK(run != kNone, "what is pinned is held");
  if (runs_[run].pins++ > 0) return;
  unlink(run);
  pinned_ += runs_[run].chunks;
}

void RunCache::unpin(uint64_t key) {
  const uint32_t run = find(key);
  SS_CHECK(run != kNone && runs_[run].pins > 0, "what was pinned is still held");
  if (--runs_[run].pins > 0) return;
  pinned_ -= runs_[run].chunks;
  link(run);
}

bool RunCache::shrink_to(uint64_t chunks) {
  while (used_ > chunks) {
    if (oldest_ == kNone) return false;
    drop(oldest_);
  }
  return true;
}

void RunCache::clear() {
  const uint64_t evicted = evicted_;
  *this = RunCache(capacity_);
  evicted_ = evicted;
}

}  // namespace shadowserve::fleet
