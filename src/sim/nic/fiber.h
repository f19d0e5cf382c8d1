// A fiber: a function on a stack of its own that may stop in the middle and go on later, on the same thread.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>
#include <memory>

namespace shadowserve::nic {

/// What lets a stage's step take time in a world whose time is turned by hand: the step stops where it reads
/// the clock, and goes on when the clock says so. One thread; resume() comes from outside any fiber.
class Fiber {
 public:
  explicit Fiber(std::function<void()> body);
  /// A fiber that has not ended is dropped where it stands: its stack goes, and nothing on it is destroyed.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Runs the body until it suspends or ends. REQUIRES !ended().
  void resume();
  /// Called by the body: back to whoever resumed.
  void suspend();
  bool ended() const { return ended_; }

 private:
  static void enter();
  void into();
  void out_of(bool for_good);

  static constexpr size_t kStackBytes = 256u << 10;
  std::function<void()> body_;
  std::unique_ptr<std::byte[]> stack_;
  ucontext_t inside_{}, outside_{};
  bool ended_ = false;
  // What sanitizers want to be told of a change of stacks.
  void* fake_stack_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_bytes_ = 0;
  void* thread_inside_ = nullptr;
  void* thread_outside_ = nullptr;
};

}  // namespace shadowserve::nic
