// The simulator's agenda: events in the order of their time, and in the order of their booking where times
// are equal.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace shadowserve::fleet {

inline constexpr int64_t kNever = INT64_MAX;
inline constexpr double kNsPerSecond = 1e9;

struct Event {
  int64_t time_ns = 0;
  uint64_t order = 0;    ///< counts up with every booking: ties are settled the same way in every run
  uint32_t subject = 0;  ///< an engine, a link, a request, ...
  uint32_t version = 0;  ///< of what was known when it was booked; who changes his mind books again
  uint8_t kind = 0;
};

/// Buckets of 4 ms in a ring of 131 s, a heap for what comes later, and a heap of the one bucket that is
/// open. With tens of thousands of events a second the open heap stays in the first-level cache. One thread.
class Agenda {
 public:
  Agenda();
  /// An event in the past happens now.
  void book(int64_t time_ns, uint8_t kind, uint32_t subject, uint32_t version);
  /// False when nothing is left. Moves now_ns() on to the event's time.
  bool next(Event& event);
  /// The next event as far as is known, and two of which one comes after it; less near a bucket's end.
  std::span<const Event> ahead() const { return {open_.data(), std::min<size_t>(open_.size(), 3)}; }
  int64_t now_ns() const { return now_ns_; }
  uint64_t booked() const { return booked_; }

 private:
  static constexpr int kBucketShift = 22;
  static constexpr int64_t kBuckets = 1 << 15;
  /// The standard's heaps have the greatest on top.
  struct Later {
    bool operator()(const Event& left, const Event& right) const {
      return left.time_ns != right.time_ns ? left.time_ns > right.time_ns : left.order > right.order;
    }
  };

  void open_bucket();

  std::vector<std::vector<Event>> ring_;
  std::vector<Event> open_, far_;
  int64_t bucket_ = 0;  ///< the open one, counted from time 0
  uint64_t in_ring_ = 0, booked_ = 0;
  int64_t now_ns_ = 0;
};

}  // namespace shadowserve::fleet
