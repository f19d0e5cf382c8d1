// Queues of lanes into shared engines.
#include "sim/nic/engine_models.h"

#include <cstring>

namespace shadowserve::nic {
namespace {

constexpr size_t kDepth = 256;  // tasks of one queue

/// Tasks of one lane on their way through a device that all lanes share.
template <class Engine, class Done>
class LaneQueue : public Engine {
 public:
  LaneQueue(ServiceCenter& center, std::function<void()> completed)
      : center_(center), completed_(std::move(completed)) {}
  size_t poll(std::span<Done> out) override {
    size_t count = 0;
    for (; count < out.size() && !done_.empty(); ++count) {
      out[count] = done_.front();
      done_.pop_front();
    }
    under_way_ -= count;
    return count;
  }

 protected:
  bool full() const { return under_way_ == kDepth; }
  /// `work` ends as `done` says; `then` happens at that moment.
  template <typename Then>
  void begin(const Work& work, Done done, Then then) {
    ++under_way_;
    center_.submit(work, [this, done, then] {
      then();
      done_.push_back(done);
      completed_();
    });
  }

 private:
  ServiceCenter& center_;
  std::function<void()> completed_;
  size_t under_way_ = 0;
  std::deque<Done> done_;
};

double task_ns(const EngineModel& model, double bytes) { return bytes * model.units / model.gb_s; }

}  // namespace

class InflateDevice::Queue final : public LaneQueue<InflateEngine, InflateDone> {
 public:
  Queue(InflateDevice& device, std::function<void()> completed)
      : LaneQueue(device.center_, std::move(completed)), device_(device) {}
  InflateAbilities abilities() const override { return {.depth = kDepth, .coders = ~0u}; }
  Result<void> submit(const InflateTask& task) override {
    if (full()) return fail(Error::kNoCapacity);
    InflateDone done{task.ticket, Error::kNone};
    if (device_.decodes_) {
      const auto decoded =
          device_.workspace_.decode(static_cast<CoderId>(task.coder), task.coded, task.symbols);
      if (!decoded) done.error = decoded.error();
    }
    const auto symbols = static_cast<double>(task.symbols.size());
    begin({task_ns(device_.model_, symbols), static_cast<double>(task.coded.size()) + symbols}, done, [] {});
    return {};
  }

 private:
  InflateDevice& device_;
};

std::unique_ptr<InflateEngine> InflateDevice::queue(std::function<void()> completed) {
  return std::make_unique<Queue>(*this, std::move(completed));
}

class DmaDevice::Queue final : public LaneQueue<CopyEngine, CopyDone> {
 public:
  Queue(DmaDevice& device, std::function<void()> completed)
      : LaneQueue(device.center_, std::move(completed)), device_(device) {}
  CopyAbilities abilities() const override { return {kDepth, SIZE_MAX}; }
  Result<void> submit(const CopyTask& task) override {
    if (full()) return fail(Error::kNoCapacity);
    const auto bytes = static_cast<double>(task.bytes);
    begin({task_ns(device_.model_, bytes), bytes}, {task.ticket, Error::kNone}, [this, task] {
      if (device_.copies_) std::memcpy(task.to, task.from, task.bytes);
    });
    return {};
  }

 private:
  DmaDevice& device_;
};

std::unique_ptr<CopyEngine> DmaDevice::queue(std::function<void()> completed) {
  return std::make_unique<Queue>(*this, std::move(completed));
}

}  // namespace shadowserve::nic
