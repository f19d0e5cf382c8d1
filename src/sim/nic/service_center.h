// A service center: a queue in front of a few servers, each of which works on one task at a time.
#pragma once

#include <deque>
#include <functional>

#include "sim/nic/virtual_world.h"

namespace shadowserve::nic {

/// A link, a decompression engine, a DMA engine. Tasks begin in the order in which they were given.
class ServiceCenter {
 public:
  /// `latency_ns` passes between a task's work and its end, and keeps no server busy.
  ServiceCenter(VirtualWorld& world, uint32_t servers, double latency_ns)
      : world_(world), free_(servers), latency_ns_(latency_ns) {}
  ServiceCenter(const ServiceCenter&) = delete;
  ServiceCenter& operator=(const ServiceCenter&) = delete;

  void submit(const Work& work, std::function<void()> done) {
    waiting_.push_back({work, std::move(done)});
    begin();
  }
  /// Server-nanoseconds of work, stretched by the memory system where that was the limit.
  double busy_ns() const { return busy_ns_; }

 private:
  struct Task {
    Work work;
    std::function<void()> done;
  };
  void begin() {
    while (free_ > 0 && !waiting_.empty()) {
      Task task = std::move(waiting_.front());
      waiting_.pop_front();
      --free_;
      const double begun_ns = world_.exact_now_ns();
      world_.start(task.work, [this, begun_ns, done = std::move(task.done)]() mutable {
        ++free_;
        busy_ns_ += world_.exact_now_ns() - begun_ns;
        world_.at(world_.exact_now_ns() + latency_ns_, std::move(done));
        begin();
      });
    }
  }

  VirtualWorld& world_;
  uint32_t free_;
  double latency_ns_;
  double busy_ns_ = 0;
  std::deque<Task> waiting_;
};

}  // namespace shadowserve::nic
