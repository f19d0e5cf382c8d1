// What a store client sleeps on: one descriptor that is readable when poll() has something to do.
#pragma once

#include <cstdint>

namespace shadowserve {

/// An epoll descriptor over the client's other descriptors and a timer. One thread. Nothing is allocated.
class StoreWake {
 public:
  static constexpr uint64_t kNever = UINT64_MAX;

  /// Aborts when the process has no descriptors left: this happens at start.
  StoreWake();
  ~StoreWake();
  StoreWake(const StoreWake&) = delete;
  StoreWake& operator=(const StoreWake&) = delete;

  int fd() const { return epoll_fd_; }
  /// Watches a descriptor for input (and output). Closing it ends that.
  void watch(int fd, bool output);
  void change(int fd, bool input, bool output);
  /// Readable at once, until set_timer() says otherwise.
  void wake_now();
  /// Readable from `at_ns` on (kNever: not before something happens). The timer is only set again when it has
  /// gone off or would be late, so that calls cost nothing in the common case; it may go off too early.
  void set_timer(uint64_t now_ns, uint64_t at_ns);

 private:
  void program(uint64_t from_now_ns);
  int epoll_fd_ = -1;
  int timer_fd_ = -1;
  uint64_t armed_ns_ = kNever;
};

}  // namespace shadowserve
