// A stage loop: one pinned thread that takes turns between its stages and sleeps when none has work.
#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "plane/stage.h"

namespace shadowserve {

class StageLoop {
 public:
  /// `core` < 0: not pinned. `spin_us`: how long an idle loop looks again before it sleeps; waking a sleeping
  /// virtual core takes 30 us and more, looking costs its core.
  StageLoop(std::string name, int core, uint32_t spin_us, const Clock& clock);
  ~StageLoop();
  StageLoop(const StageLoop&) = delete;
  StageLoop& operator=(const StageLoop&) = delete;

  /// Before start(). Stages are stepped in this order.
  void add(Stage& stage) { stages_.push_back(&stage); }
  Doorbell& doorbell() { return doorbell_; }

  void start();
  /// Ends the thread after its current turn. Idempotent.
  void stop();

  /// One turn by hand, for tests and the simulator. REQUIRES not started.
  uint32_t step_once();

  const std::string& name() const { return name_; }
  int core() const { return core_; }
  /// True when the thread really runs on its core alone.
  bool pinned() const { return pinned_.load(std::memory_order_relaxed); }
  const std::vector<Stage*>& stages() const { return stages_; }

 private:
  void run();
  uint32_t turn(uint64_t now_ns);
  void sleep();

  std::string name_;
  int core_;
  uint64_t spin_ns_;
  const Clock& clock_;
  Doorbell doorbell_;
  int epoll_fd_ = -1;
  std::vector<Stage*> stages_;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> pinned_{false};
};

}  // namespace shadowserve
