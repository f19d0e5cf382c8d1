// What all stages share: taking slots from pipes, letting failed ones ride through, handing them on.
#include "plane/stage.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <bit>

#include "contract/check.h"

namespace shadowserve {

Doorbell::Doorbell() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  SS_CHECK(fd_ >= 0, "a process may have one more descriptor at start");
}
Doorbell::~Doorbell() { close(fd_); }

void Doorbell::ring() {
  const uint64_t one = 1;
  // A full eventfd counter means that the bell is ringing already.
  [[maybe_unused]] const auto written = write(fd_, &one, sizeof(one));
}

void Doorbell::drain() {
  uint64_t count = 0;
  [[maybe_unused]] const auto got = read(fd_, &count, sizeof(count));
}

Pipe::Pipe(uint32_t slots, Doorbell& consumer) : consumer_(consumer) {
  const uint32_t capacity = std::bit_ceil(slots);
  const size_t bytes = SpscRing<uint32_t>::bytes(capacity);
  memory_ = std::make_unique<std::byte[]>(bytes + alignof(RingHeader));
  void* start = memory_.get();
  size_t space = bytes + alignof(RingHeader);
  ring_ = SpscRing<uint32_t>::create(std::align(alignof(RingHeader), bytes, start, space), capacity);
}

void Pipe::push(const Slot& slot) {
  SS_CHECK(ring_.push(slot.index), "a pipe has room for every slot");
  consumer_.ring_if_sleeping();
}

uint32_t SlotStage::queue() const {
  uint32_t waiting = inside();
  for (const Pipe* pipe : inputs_) waiting += pipe->size();
  return waiting;
}

uint32_t SlotStage::step(uint64_t now_ns) {
  uint32_t moved = 0;
  if (inside() > 0 || polls_when_idle()) {
    const uint64_t start = clock_.now_ns();
    moved = poll_work();
    if (moved > 0) counters_.busy_ns.add(clock_.now_ns() - start);
  }
  if (!ready()) return moved;
  for (size_t tried = 0; tried < inputs_.size(); ++tried) {
    Pipe* pipe = inputs_[next_input_];
    next_input_ = (next_input_ + 1) % static_cast<uint32_t>(inputs_.size());
    uint32_t index = 0;
    if (!pipe->pop(index)) continue;
    enter(pool_.at(index), now_ns);
    return moved + 1;
  }
  return moved;
}

void SlotStage::enter(Slot& slot, uint64_t now_ns) {
  inside_.store(inside() + 1, std::memory_order_relaxed);
  if (slot.error == Error::kNone && now_ns >= slot.request.deadline_ns) {
    finish(slot, Error::kDeadline);
    return;
  }
  if (slot.error != Error::kNone) {
    finish(slot);
    return;
  }
  const uint64_t start = clock_.now_ns();
  begin(slot);
  counters_.busy_ns.add(clock_.now_ns() - start);
}

void SlotStage::finish(Slot& slot, Error error) {
  SS_CHECK(inside() > 0, "a slot finishes once");
  inside_.store(inside() - 1, std::memory_order_relaxed);
  if (slot.error == Error::kNone && error != Error::kNone) {
    slot.error = error;
    counters_.failed.add(1);
  }
  const uint64_t now = clock_.now_ns();
  counters_.slots.add(1);
  counters_.wait_ns.add(now - slot.queued_ns);
  slot.queued_ns = now;
  outputs_[output_for(slot)]->push(slot);
}

}  // namespace shadowserve
