// A calendar queue with one heap at its front and one at its back.
#include "sim/fleet/fleet_events.h"

#include <algorithm>

namespace shadowserve::fleet {

Agenda::Agenda() : ring_(kBuckets) {}

void Agenda::book(int64_t time_ns, uint8_t kind, uint32_t subject, uint32_t version) {
  const Event event{std::max(time_ns, now_ns_), booked_++, subject, version, kind};
  const int64_t bucket = event.time_ns >> kBucketShift;
  if (bucket <= bucket_) {
    open_.push_back(event);
    std::push_heap(open_.begin(), open_.end(), Later());
  } else if (bucket < bucket_ + kBuckets) {
    ring_[static_cast<size_t>(bucket % kBuckets)].push_back(event);
    ++in_ring_;
  } else {
    far_.push_back(event);
    std::push_heap(far_.begin(), far_.end(), Later());
  }
}

void Agenda::open_bucket() {
  // Over an empty ring straight to what is far.
  bucket_ = in_ring_ == 0 && !far_.empty() ? std::max(bucket_ + 1, far_.front().time_ns >> kBucketShift)
                                           : bucket_ + 1;
  std::vector<Event>& bucket = ring_[static_cast<size_t>(bucket_ % kBuckets)];
  in_ring_ -= bucket.size();
  open_.assign(bucket.begin(), bucket.end());
  std::vector<Event>().swap(bucket);  // kept, the memory of all buckets would be as if each were open
  while (!far_.empty() && far_.front().time_ns >> kBucketShift < bucket_ + kBuckets) {
    std::pop_heap(far_.begin(), far_.end(), Later());
    const Event event = far_.back();
    far_.pop_back();
    const int64_t place = event.time_ns >> kBucketShift;
    if (place == bucket_) {
      open_.push_back(event);
    } else {
      ring_[static_cast<size_t>(place % kBuckets)].push_back(event);
      ++in_ring_;
    }
  }
  std::make_heap(open_.begin(), open_.end(), Later());
}

bool Agenda::next(Event& event) {
  while (open_.empty()) {
    if (in_ring_ == 0 && far_.empty()) return false;
    open_bucket();
  }
  std::pop_heap(open_.begin(), open_.end(), Later());
  event = open_.back();
  open_.pop_back();
  now_ns_ = event.time_ns;
  return true;
}

}  // namespace shadowserve::fleet
