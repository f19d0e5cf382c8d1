// Copies on a BlueField: the queue of DOCA tasks behind the seam.
#include "bluefield/bluefield_copy_engine.h"

#include "bluefield/doca_kinds.h"

namespace shadowserve {

struct BluefieldCopyEngine::Queue {
  DocaCopyEngine<> engine;
};

BluefieldCopyEngine::BluefieldCopyEngine(std::unique_ptr<Queue> queue) : queue_(std::move(queue)) {}
BluefieldCopyEngine::~BluefieldCopyEngine() = default;

Result<std::unique_ptr<BluefieldCopyEngine>> BluefieldCopyEngine::create(const BluefieldDevice& device,
                                                                         const BluefieldReach& reach,
                                                                         size_t depth_max) {
  auto tasks = DocaQueue<DocaCopy>::create(device, reach, depth_max);
  if (!tasks) return fail(tasks.error());
  auto queue = std::unique_ptr<Queue>(
      new Queue{DocaCopyEngine<>(std::move(*tasks), device.abilities().copy_bytes_max)});
  return std::unique_ptr<BluefieldCopyEngine>(new BluefieldCopyEngine(std::move(queue)));
}

CopyAbilities BluefieldCopyEngine::abilities() const { return queue_->engine.abilities(); }
Result<void> BluefieldCopyEngine::submit(const CopyTask& task) { return queue_->engine.submit(task); }
size_t BluefieldCopyEngine::poll(std::span<CopyDone> out) { return queue_->engine.poll(out); }
bool BluefieldCopyEngine::lost() const { return queue_->engine.lost(); }
void BluefieldCopyEngine::abandon() { queue_->engine.abandon(); }
Result<void> BluefieldCopyEngine::revive() { return queue_->engine.revive(); }

}  // namespace shadowserve
