// A core of the virtual world: one of the plane's own loops, whose stages take time as the machine's model
// says.
#pragma once

#include <vector>

#include "plane/stage_loop.h"
#include "sim/nic/fiber.h"
#include "sim/nic/nic_machine.h"
#include "sim/nic/virtual_world.h"

namespace shadowserve::nic {

class VirtualCore;

/// The plane's clock, and the seam at which the product's code takes time: stages count what they did and
/// then read the clock before anybody learns of it, so whoever reads it while a core runs first waits until
/// that core has had the time for what was counted.
class CoreClock final : public Clock {
 public:
  explicit CoreClock(const VirtualWorld& world) : world_(world) {}
  uint64_t now_ns() const override;

 private:
  friend class VirtualCore;
  const VirtualWorld& world_;
  VirtualCore* running_ = nullptr;
};

/// Steps a StageLoop whenever it may have something to do, on a fiber: a stage that works stands still in the
/// middle of its step until its work is done, and other cores go on.
class VirtualCore {
 public:
  VirtualCore(VirtualWorld& world, CoreClock& clock, StageLoop& loop, const NicMachine& machine);

  /// An engine or a store has something for this core's stages.
  void poke() { poked_ = true; }
  /// Neither working nor without anything to do.
  bool ready();
  /// REQUIRES ready(). Until it works or has nothing to do.
  void run();
  /// Called by the clock: takes the time for what the stages counted since. On this core's fiber.
  void settle();

 private:
  enum class State : uint8_t { kReady, kWorking, kIdle };
  struct Tracked {
    const Stage* stage;
    const StageCost* cost;  ///< null: takes no time
    StageCounts counted;
  };
  void body();
  void work(const Work& work);
  void rest();
  uint64_t queued() const;

  VirtualWorld& world_;
  CoreClock& clock_;
  StageLoop& loop_;
  double turn_ns_;
  int idle_turns_;
  std::vector<Tracked> stages_;
  State state_ = State::kReady;
  bool poked_ = false;
  bool counted_ = false;   // something, in this turn
  uint64_t queued_ = 0;    // when it went idle
  double owed_bytes_ = 0;  // counted where no time was: moved with the next work
  Fiber fiber_;
};

}  // namespace shadowserve::nic
