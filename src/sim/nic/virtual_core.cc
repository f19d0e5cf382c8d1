// Runs loops on fibers and charges them for what their stages counted.
#include "sim/nic/virtual_core.h"

namespace shadowserve::nic {
namespace {

// A stage may take a slot in one turn and count something only in the next, and this core's own decompression
// works for many turns before it counts; after so many turns nothing will come without help from outside.
constexpr int kIdleTurns = 3, kIdleTurnsInflating = 256;

}  // namespace

uint64_t CoreClock::now_ns() const {
  if (running_ != nullptr) running_->settle();
  return world_.now_ns();
}

VirtualCore::VirtualCore(VirtualWorld& world, CoreClock& clock, StageLoop& loop, const NicMachine& machine)
    : world_(world),
      clock_(clock),
      loop_(loop),
      turn_ns_(machine.turn_ns),
      idle_turns_(machine.inflate.present ? kIdleTurns : kIdleTurnsInflating),
      fiber_([this] { body(); }) {
  for (const Stage* stage : loop.stages()) {
    const auto found = machine.stages.find(stage->name());
    stages_.push_back({stage, found == machine.stages.end() ? nullptr : &found->second, {}});
  }
}

uint64_t VirtualCore::queued() const {
  uint64_t queued = 0;
  for (const Tracked& tracked : stages_) queued += tracked.stage->queue();
  return queued;
}

bool VirtualCore::ready() {
  // While it is idle others only add to its queues.
  if (state_ == State::kIdle && (poked_ || queued() != queued_)) state_ = State::kReady;
  return state_ == State::kReady;
}

void VirtualCore::run() {
  poked_ = false;
  clock_.running_ = this;
  fiber_.resume();
  clock_.running_ = nullptr;
}

void VirtualCore::body() {
  for (int idle = 0;;) {
    counted_ = false;
    const uint32_t moved = loop_.step_once();
    settle();
    if (counted_) {
      idle = 0;
      work({turn_ns_, 0});
    } else if (moved == 0 || ++idle == idle_turns_) {
      idle = 0;
      rest();
    }
  }
}

void VirtualCore::settle() {
  Work due{0, owed_bytes_};
  for (Tracked& tracked : stages_) {
    const StageCounts now = StageCounts::of(tracked.stage->counters());
    if (now == tracked.counted) continue;
    counted_ = true;
    if (tracked.cost != nullptr) {
      due.alone_ns += amount(tracked.cost->ns, tracked.counted, now);
      due.memory_bytes += amount(tracked.cost->memory_bytes, tracked.counted, now);
    }
    tracked.counted = now;
  }
  owed_bytes_ = due.alone_ns > 0 ? 0 : due.memory_bytes;
  work(due);
}

void VirtualCore::work(const Work& work) {
  if (work.alone_ns <= 0) return;
  state_ = State::kWorking;
  world_.start(work, [this] { state_ = State::kReady; });
  fiber_.suspend();
}

void VirtualCore::rest() {
  if (poked_) return;
  state_ = State::kIdle;
  queued_ = queued();
  fiber_.suspend();
}

}  // namespace shadowserve::nic
