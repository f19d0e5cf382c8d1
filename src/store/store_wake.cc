// epoll plus timerfd.
#include "store/store_wake.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "contract/check.h"

namespace shadowserve {
namespace {

void control(int epoll_fd, int operation, int fd, bool input, bool output) {
  epoll_event event{};
  event.events =
      (input ? static_cast<uint32_t>(EPOLLIN) : 0u) | (output ? static_cast<uint32_t>(EPOLLOUT) : 0u);
  event.data.fd = fd;
  SS_CHECK(epoll_ctl(epoll_fd, operation, fd, &event) == 0, "the descriptor is open and watched once");
}

}  // namespace

StoreWake::StoreWake() {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  timer_fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  SS_CHECK(epoll_fd_ >= 0 && timer_fd_ >= 0, "a store client gets two descriptors at start");
  watch(timer_fd_, false);
}

StoreWake::~StoreWake() {
  close(timer_fd_);
  close(epoll_fd_);
}

void StoreWake::watch(int fd, bool output) { control(epoll_fd_, EPOLL_CTL_ADD, fd, true, output); }
void StoreWake::change(int fd, bool input, bool output) {
  control(epoll_fd_, EPOLL_CTL_MOD, fd, input, output);
}

void StoreWake::program(uint64_t from_now_ns) {
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(from_now_ns / 1'000'000'000u);
  when.it_value.tv_nsec = static_cast<long>(from_now_ns % 1'000'000'000u);
  timerfd_settime(timer_fd_, 0, &when, nullptr);
}

void StoreWake::wake_now() {
  if (armed_ns_ == 0) return;
  armed_ns_ = 0;
  program(1);
}

void StoreWake::set_timer(uint64_t now_ns, uint64_t at_ns) {
  const bool gone_off = armed_ns_ <= now_ns;
  if (!gone_off && armed_ns_ <= at_ns) return;
  if (armed_ns_ == kNever && at_ns == kNever) return;
  armed_ns_ = at_ns;
  // Setting a timerfd also clears that it went off. Zero would switch it off, which is what kNever means.
  program(at_ns == kNever ? 0 : at_ns > now_ns ? at_ns - now_ns : 1);
}

}  // namespace shadowserve
