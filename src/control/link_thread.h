// The one thread of a lookup or transfer object: steps its duty, spins a moment, then sleeps until woken.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "control/plane_link.h"
#include "world/clock.h"

namespace shadowserve {

/// What a link thread drives. Tests call step() themselves, with a virtual clock and no thread.
class LinkDuty {
 public:
  virtual ~LinkDuty() = default;
  /// Does what can be done now, without waiting; true when something was done.
  virtual bool step() = 0;
  /// Announces sleep to whoever feeds this duty (commands and replies); false: something is there already.
  virtual bool prepare_sleep() = 0;
  virtual void end_sleep() = 0;
  /// When to step again even if nobody wakes the thread; UINT64_MAX: never.
  virtual uint64_t wake_at_ns() const = 0;
  virtual PlaneLink& link() = 0;
};

class LinkThread {
 public:
  /// Both must outlive the thread. `core` -1: not pinned.
  LinkThread(LinkDuty& duty, const Clock& clock, int core);
  ~LinkThread();  ///< stops and joins
  LinkThread(const LinkThread&) = delete;
  LinkThread& operator=(const LinkThread&) = delete;

  /// Ends a sleep. Call after the command ring's must_ring() said so. Any thread, does not block.
  void wake();

 private:
  void run();
  void sleep();

  LinkDuty& duty_;
  const Clock& clock_;
  const int core_;
  int wake_fd_ = -1;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace shadowserve
