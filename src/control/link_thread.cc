// Step, spin, sleep.
#include "control/link_thread.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "contract/check.h"
#include "control/link_log.h"

namespace shadowserve {
namespace {

// A reply of the plane usually follows the last one within this time; a sleep and a wake cost about as much.
constexpr uint64_t kSpinNs = 30 * kNsPerUs;
// Bounds every sleep, so that even a lost doorbell costs this much and not a request.
constexpr uint64_t kSleepMaxNs = 100 * kNsPerMs;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

LinkThread::LinkThread(LinkDuty& duty, const Clock& clock, int core)
    : duty_(duty), clock_(clock), core_(core), wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  SS_CHECK(wake_fd_ >= 0, "a process that starts a thread has a descriptor left for it");
  thread_ = std::thread([this] { run(); });
}

LinkThread::~LinkThread() {
  stop_.store(true, std::memory_order_release);
  wake();
  thread_.join();
  close(wake_fd_);
}

void LinkThread::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);
}

void LinkThread::run() {
  pthread_setname_np(pthread_self(), "ss-link");
  if (core_ >= 0) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(static_cast<size_t>(core_), &cores);
    if (pthread_setaffinity_np(pthread_self(), sizeof cores, &cores) != 0) {
      link_log().warn("the link thread may not be pinned to core {}: it runs where the system puts it",
                      core_);
    }
  }
  uint64_t spin_until = 0;
  while (!stop_.load(std::memory_order_acquire)) {
    if (duty_.step()) {
      spin_until = clock_.now_ns() + kSpinNs;
    } else if (clock_.now_ns() < spin_until) {
      relax();
    } else {
      sleep();
    }
  }
}

void LinkThread::sleep() {
  if (!duty_.prepare_sleep()) {
    duty_.end_sleep();
    return;
  }
  const uint64_t now = clock_.now_ns();
  const uint64_t until = duty_.wake_at_ns();
  const uint64_t span = std::min(until > now ? until - now : 0, kSleepMaxNs);
  // Three descriptors: poll() with a nanosecond timeout beats keeping an epoll set in step with the link.
  const PlaneLink& link = duty_.link();
  pollfd waits[3] = {
      {wake_fd_, POLLIN, 0}, {link.socket_fd(), link.socket_events(), 0}, {link.doorbell_fd(), POLLIN, 0}};
  const timespec timeout{0, static_cast<long>(span)};
  if (span > 0) ppoll(waits, 3, &timeout, nullptr);
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(wake_fd_, &count, sizeof count);
  duty_.end_sleep();
}

}  // namespace shadowserve
