// Virtual time: what is under way, when it ends, and the one memory system that all of it shares.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace shadowserve::nic {

/// A piece of work: what it takes when nothing else runs, and the bytes that it reads from and writes to
/// memory meanwhile, spread evenly over its time.
struct Work {
  double alone_ns = 0;
  double memory_bytes = 0;
};

/// Events in order of time; work that is under way shares memory.
///
/// The memory system has so many bytes a second for all. While the work under way asks for no more,
/// everything runs as if alone. When it asks for more the bandwidth is divided max-min fairly - who asks for
/// less than an equal share gets what it asks for, the others share the rest alike - and work goes on in
/// proportion to what it gets: processor sharing of what is bound by memory, while work that touches no
/// memory is not slowed. Latency that grows before the bandwidth is used up is not modelled. One thread.
class VirtualWorld {
 public:
  /// Bytes a nanosecond, which is GB/s; 0: ample.
  explicit VirtualWorld(double memory_gb_s) : memory_gb_s_(memory_gb_s) {}

  uint64_t now_ns() const { return static_cast<uint64_t>(now_); }
  double exact_now_ns() const { return now_; }
  /// Calls `event` once, at that time or now if it has passed. Events of the same time come in the order in
  /// which they were asked for.
  void at(double ns, std::function<void()> event);
  /// Calls `done` once, when the work is finished.
  void start(const Work& work, std::function<void()> done);
  /// Turns time to the next event and lets it happen. False when there is none.
  bool step();

  /// Bytes that went to and from memory so far, and the time during which it was the limit.
  double memory_bytes() const { return memory_bytes_; }
  double saturated_ns() const { return saturated_ns_; }

 private:
  struct Job {
    double left_ns;  // as if alone
    double gb_s;     // wanted
    double speed;    // 1 = as if alone
    std::function<void()> done;
  };
  struct Timer {
    double ns;
    uint64_t number;
    std::function<void()> event;
  };
  void share();
  void advance_to(double ns);

  double memory_gb_s_;
  double now_ = 1e9;  // as VirtualClock: deadlines of 0 have passed
  std::vector<Job> jobs_;
  std::vector<Timer> timers_;  // a heap, the earliest on top
  uint64_t numbers_ = 0;
  bool shared_ = true, saturated_ = false;
  double memory_bytes_ = 0, saturated_ns_ = 0;
};

}  // namespace shadowserve::nic
