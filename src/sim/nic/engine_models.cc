// Queues of lanes into shared engines.
#include "sim/nic/engine_models.h"

#include <cstring>

namespace shadowserve::nic {
namespace {

constexpr size_t kDepth = 256;  // tasks of one queue

/// Takes what fits of what is done.
template <typename Done>
size_t take(std::deque<Done>& done, std::span<Done> out) {
  size_t count = 0;
  for (; count < out.size() && !done.empty(); ++count) {
    out[count] = done.front();
    done.pop_front();
  }
  return count;
}

double task_ns(const EngineModel& model, double bytes) { return bytes * model.units / model.gb_s; }

}  // namespace

class InflateDevice::Queue final : public InflateEngine {
 public:
  Queue(InflateDevice& device, std::function<void()> completed)
      : device_(device), completed_(std::move(completed)) {}
  InflateAbilities abilities() const override { return {.depth = kDepth, .coders = ~0u}; }
  Result<void> submit(const InflateTask& task) override {
    if (under_way_ == kDepth) return fail(Error::kNoCapacity);
    ++under_way_;
    InflateDone done{task.ticket, Error::kNone};
    if (device_.decodes_) {
      const auto decoded =
          device_.workspace_.decode(static_cast<CoderId>(task.coder), task.coded, task.symbols);
      if (!decoded) done.error = decoded.error();
    }
    const auto symbols = static_cast<double>(task.symbols.size());
    device_.center_.submit(
        {task_ns(device_.model_, symbols), static_cast<double>(task.coded.size()) + symbols}, [this, done] {
          done_.push_back(done);
          completed_();
        });
    return {};
  }
  size_t poll(std::span<InflateDone> out) override {
    const size_t count = take(done_, out);
    under_way_ -= count;
    return count;
  }

 private:
  InflateDevice& device_;
  std::function<void()> completed_;
  size_t under_way_ = 0;
  std::deque<InflateDone> done_;
};

std::unique_ptr<InflateEngine> InflateDevice::queue(std::function<void()> completed) {
  return std::make_unique<Queue>(*this, std::move(completed));
}

class DmaDevice::Queue final : public CopyEngine {
 public:
  Queue(DmaDevice& device, std::function<void()> completed)
      : device_(device), completed_(std::move(completed)) {}
  CopyAbilities abilities() const override { return {kDepth, SIZE_MAX}; }
  Result<void> submit(const CopyTask& task) override {
    if (under_way_ == kDepth) return fail(Error::kNoCapacity);
    ++under_way_;
    const auto bytes = static_cast<double>(task.bytes);
    device_.center_.submit({task_ns(device_.model_, bytes), bytes}, [this, task] {
      if (device_.copies_) std::memcpy(task.to, task.from, task.bytes);
      done_.push_back({task.ticket, Error::kNone});
      completed_();
    });
    return {};
  }
  size_t poll(std::span<CopyDone> out) override {
    const size_t count = take(done_, out);
    under_way_ -= count;
    return count;
  }

 private:
  DmaDevice& device_;
  std::function<void()> completed_;
  size_t under_way_ = 0;
  std::deque<CopyDone> done_;
};

std::unique_ptr<CopyEngine> DmaDevice::queue(std::function<void()> completed) {
  return std::make_unique<Queue>(*this, std::move(completed));
}

}  // namespace shadowserve::nic
