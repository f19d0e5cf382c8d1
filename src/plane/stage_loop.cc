// The loop, its pinning, and its careful way to fall asleep.
#include "plane/stage_loop.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "contract/check.h"
#include "memory/frozen_heap.h"

namespace shadowserve {
namespace {

// A safety net, not a clock: deadlines of a store have descriptors of their own.
constexpr int kSleepMsMax = 100;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

bool pin_to(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(core), &set);
  return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

}  // namespace

StageLoop::StageLoop(std::string name, int core, uint32_t spin_us, const Clock& clock)
    : name_(std::move(name)),
      core_(core),
      spin_ns_(spin_us * kNsPerUs),
      clock_(clock),
      epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {
  SS_CHECK(epoll_fd_ >= 0, "a process may have one more descriptor at start");
}

StageLoop::~StageLoop() {
  stop();
  close(epoll_fd_);
}

void StageLoop::start() {
  const auto watch = [this](int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    SS_CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0, "every wake descriptor is watched once");
  };
  watch(doorbell_.fd());
  for (const Stage* stage : stages_) {
    if (stage->wake_fd() >= 0) watch(stage->wake_fd());
  }
  thread_ = std::thread([this] { run(); });
}

void StageLoop::stop() {
  if (!thread_.joinable()) return;
  stop_.store(true, std::memory_order_release);
  doorbell_.ring();
  thread_.join();
}

void StageLoop::run() {
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  if (core_ >= 0) pinned_.store(pin_to(core_), std::memory_order_relaxed);
  for (Stage* stage : stages_) stage->prepare_thread();
  freeze_heap_on_this_thread();
  uint64_t idle_since = 0;
  while (!stop_.load(std::memory_order_acquire)) {
    const uint64_t now = clock_.now_ns();
    if (turn(now) > 0) {
      idle_since = 0;
      continue;
    }
    if (idle_since == 0) idle_since = now;
    if (now - idle_since < spin_ns_) {
      relax();
      continue;
    }
    sleep();
    idle_since = 0;
  }
  thaw_heap_on_this_thread();
}

uint32_t StageLoop::turn(uint64_t now_ns) {
  uint32_t moved = 0;
  for (Stage* stage : stages_) moved += stage->step(now_ns);
  return moved;
}

uint32_t StageLoop::step_once() {
  SS_CHECK(!thread_.joinable(), "a loop is stepped by hand or by its thread");
  return turn(clock_.now_ns());
}

void StageLoop::sleep() {
  // Announce first, look again, then sleep: whoever pushes after the look sees the announcement and rings.
  doorbell_.set_sleeping(true);
  bool may_sleep = true;
  for (Stage* stage : stages_) may_sleep = stage->prepare_sleep() && may_sleep;
  if (may_sleep && turn(clock_.now_ns()) == 0) {
    epoll_event events[8];
    const int count = epoll_wait(epoll_fd_, events, 8, kSleepMsMax);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == doorbell_.fd()) doorbell_.drain();
    }
  }
  doorbell_.set_sleeping(false);
  for (Stage* stage : stages_) stage->end_sleep();
}

}  // namespace shadowserve
