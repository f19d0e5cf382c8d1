// Deflate decompression on a BlueField: the queue of DOCA tasks behind the seam.
#include "bluefield/bluefield_inflate_engine.h"

#include "bluefield/doca_kinds.h"

namespace shadowserve {

struct BluefieldInflateEngine::Queue {
  DocaInflateEngine<> engine;
};

BluefieldInflateEngine::BluefieldInflateEngine(std::unique_ptr<Queue> queue) : queue_(std::move(queue)) {}
BluefieldInflateEngine::~BluefieldInflateEngine() = default;

Result<std::unique_ptr<BluefieldInflateEngine>> BluefieldInflateEngine::create(const BluefieldDevice& device,
                                                                               const BluefieldReach& reach,
                                                                               size_t depth_max) {
  auto tasks = DocaQueue<DocaDeflate>::create(device, reach, depth_max);
  if (!tasks) return fail(tasks.error());
  auto queue = std::unique_ptr<Queue>(
      new Queue{DocaInflateEngine<>(std::move(*tasks), device.abilities().inflate_bytes_max)});
  return std::unique_ptr<BluefieldInflateEngine>(new BluefieldInflateEngine(std::move(queue)));
}

InflateAbilities BluefieldInflateEngine::abilities() const { return queue_->engine.abilities(); }
Result<void> BluefieldInflateEngine::submit(const InflateTask& task) { return queue_->engine.submit(task); }
size_t BluefieldInflateEngine::poll(std::span<InflateDone> out) { return queue_->engine.poll(out); }
bool BluefieldInflateEngine::lost() const { return queue_->engine.lost(); }
void BluefieldInflateEngine::abandon() { queue_->engine.abandon(); }
Result<void> BluefieldInflateEngine::revive() { return queue_->engine.revive(); }

}  // namespace shadowserve
