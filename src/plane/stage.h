// A stage and the pipes between stages. A stage's step never blocks; slots travel as indices in SPSC rings.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "memory/spsc_ring.h"
#include "plane/slot.h"
#include "telemetry/stage_counters.h"
#include "world/clock.h"

namespace shadowserve {

/// Wakes a stage loop that sleeps. Any thread may ring it; ringing an awake loop costs one load.
class Doorbell {
 public:
  Doorbell();
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  void ring_if_sleeping() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_relaxed) != 0) ring();
  }
  /// Unconditional; also what peers in other processes do through the descriptor.
  void ring();
  void set_sleeping(bool sleeping) {
    sleeping_.store(sleeping ? 1 : 0, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  int fd() const { return fd_; }
  void drain();

 private:
  std::atomic<uint32_t> sleeping_{0};
  int fd_ = -1;
};

/// One bounded queue between two stages: exactly one pushes, exactly one pops. As long as every slot fits,
/// a push cannot fail.
class Pipe {
 public:
  Pipe(uint32_t slots, Doorbell& consumer);
  void push(const Slot& slot);
  /// False when empty.
  bool pop(uint32_t& index) { return ring_.pop(index); }
  uint32_t size() const { return ring_.size(); }

 private:
  std::unique_ptr<std::byte[]> memory_;
  SpscRing<uint32_t> ring_;
  Doorbell& consumer_;
};

/// Anything a stage loop drives.
class Stage {
 public:
  virtual ~Stage() = default;
  virtual std::string_view name() const = 0;
  /// One bounded piece of work; returns how many things moved, 0 = nothing to do. Never blocks, never
  /// allocates.
  virtual uint32_t step(uint64_t now_ns) = 0;
  /// Called once on the thread that will step this stage, before its heap is frozen: take what a library
  /// wants.
  virtual void prepare_thread() {}
  /// Slots (or lookups) inside or waiting in front of this stage, for stats. Any thread.
  virtual uint32_t queue() const { return 0; }
  /// Descriptor whose readability means there is something to do; -1: none.
  virtual int wake_fd() const { return -1; }
  /// Before sleeping: false when work arrived meanwhile. end_sleep() follows in either case.
  virtual bool prepare_sleep() { return true; }
  virtual void end_sleep() {}

  const StageCounters& counters() const { return counters_; }

 protected:
  StageCounters counters_;
};

/// A stage slots pass through. Subclasses implement begin(), which either finishes the slot at once or keeps
/// it until poll_work() learns that an engine or a store is done with it.
class SlotStage : public Stage {
 public:
  SlotStage(SlotPool& pool, const Clock& clock) : pool_(pool), clock_(clock) {}
  void add_input(Pipe& pipe) { inputs_.push_back(&pipe); }
  void add_output(Pipe& pipe) { outputs_.push_back(&pipe); }

  uint32_t step(uint64_t now_ns) override;
  uint32_t queue() const override;

 protected:
  /// Starts the slot's work. The slot has no error and its deadline has not passed.
  virtual void begin(Slot& slot) = 0;
  /// Advances work that begin() left open; returns how many things moved.
  virtual uint32_t poll_work() { return 0; }
  /// False while the stage's engine or store takes no more.
  virtual bool ready() const { return true; }
  /// True for stages whose engine needs poll_work() even when it holds no slot (a store that reconnects).
  virtual bool polls_when_idle() const { return false; }

  /// Which output takes this slot. A slot with a lane stays in it.
  virtual size_t output_for(const Slot& slot) { return slot.index % outputs_.size(); }

  /// Hands the slot on, with `error` if its work failed here.
  void finish(Slot& slot, Error error = Error::kNone);

  SlotPool& pool_;
  const Clock& clock_;

 private:
  uint32_t inside() const { return inside_.load(std::memory_order_relaxed); }
  std::atomic<uint32_t> inside_ = 0;  ///< begun and not finished; written by the stage's thread only
  void enter(Slot& slot, uint64_t now_ns);
  std::vector<Pipe*> inputs_;
  std::vector<Pipe*> outputs_;
  uint32_t next_input_ = 0;
};

}  // namespace shadowserve
