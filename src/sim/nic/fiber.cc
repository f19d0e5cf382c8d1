// Fibers on ucontext, with what the sanitizers have to be told.
#include "sim/nic/fiber.h"

#include "contract/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace shadowserve::nic {
namespace {

thread_local Fiber* entering = nullptr;  // makecontext() passes no pointers

}  // namespace

Fiber::Fiber(std::function<void()> body)
    : body_(std::move(body)), stack_(std::make_unique_for_overwrite<std::byte[]>(kStackBytes)) {
  SS_CHECK(getcontext(&inside_) == 0, "a context can always be read");
  inside_.uc_stack.ss_sp = stack_.get();
  inside_.uc_stack.ss_size = kStackBytes;
  inside_.uc_link = nullptr;
  makecontext(&inside_, &Fiber::enter, 0);
#if defined(__SANITIZE_THREAD__)
  thread_inside_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(thread_inside_);
#endif
}

void Fiber::enter() {
  Fiber& self = *entering;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &self.outside_stack_, &self.outside_bytes_);
#endif
  self.body_();
  self.ended_ = true;
  self.out_of(/*for_good=*/true);
}

void Fiber::resume() {
  SS_CHECK(!ended_, "what has ended does not go on");
  into();
}

void Fiber::suspend() { out_of(/*for_good=*/false); }

void Fiber::into() {
  entering = this;
#if defined(__SANITIZE_THREAD__)
  thread_outside_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(thread_inside_, 0);
#endif
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack_.get(), kStackBytes);
#endif
  swapcontext(&outside_, &inside_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void Fiber::out_of([[maybe_unused]] bool for_good) {
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(thread_outside_, 0);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack_, outside_stack_, outside_bytes_);
#endif
  swapcontext(&inside_, &outside_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &outside_stack_, &outside_bytes_);
#endif
}

}  // namespace shadowserve::nic
