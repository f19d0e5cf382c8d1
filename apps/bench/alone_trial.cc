// Runs one stage on as many threads as it has in the data plane, and nothing else.
#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "bench/pipeline_trials.h"
#include "command.h"

namespace shadowserve {
namespace {

constexpr double kSecondsMax = 1;

class AloneTrial final : public Trial {
 public:
  AloneTrial(PipelineBench& bench, StageKind kind, uint32_t cores, std::shared_ptr<StageRig> rig,
             const std::string& receive)
      : bench_(bench), kind_(kind), cores_(cores), rig_(std::move(rig)), receive_(receive) {
    const bool first = receive == bench.options().receive.front();
    row.table = first ? kAloneTable : kReceiveTable;
    row.name = stage_kind_name(kind);
    if (!first) row.name += ", " + receive;
    row.facts.emplace_back(kCores, cores);
    if (!bench.enough_cores(cores)) row.note = "a floor: server and stage share cores";
    if (kind == StageKind::kReceive) prepare_slots();
  }

  void repeat(bool counted) override {
    bench_.keep_others_off(cores_);
    make_circles();
    for (const auto& circle : circles_) circle->start();
    wait_for_all();
    const double seconds = std::min(bench_.options().seconds, kSecondsMax) * (counted ? 1 : 0.25);
    const uint64_t begin = value_bytes();
    Stopwatch watch;
    watch.start();
    usleep(static_cast<useconds_t>(seconds * 1e6));
    const uint64_t bytes = value_bytes() - begin;
    watch.stop();
    for (const auto& circle : circles_) circle->stop();
    for (const auto& circle : circles_) circle->expect_no_failure();
    circles_.clear();
    store_.reset();
    if (counted) add_rate(kDelivered, static_cast<double>(bytes), watch.seconds());
  }

 private:
  /// Slots that go through all stored parts, not only those that fit the slots: a server reads them from
  /// memory, not from its caches.
  void prepare_slots() {
    auto pool = SlotPool::create(bench_.options().fetch_slots, 1);
    if (!pool) throw StartError("no memory for slots");
    pool_ = std::move(*pool);
    numbers_.resize(bench_.options().fetch_slots);
    for (uint32_t i = 0; i < numbers_.size(); ++i) {
      pool_.at(i).request.deadline_ns = UINT64_MAX;
      numbers_[i] = i;
      point_to(pool_.at(i));
    }
  }
  void point_to(Slot& slot) {
    const BenchInput& input = bench_.input();
    const uint32_t part = numbers_[slot.index] % input.parts();
    slot.shape = input.part(part);
    slot.request.part = slot.shape.part;
    slot.request.key = bench_key(bench_.profile(), part / input.geometry().parts());
  }

  void make_circles() {
    const std::vector<int> cores = bench_.plane_cores(cores_);
    if (kind_ == StageKind::kReceive) {
      store_ = bench_.store().client(bench_.clock(), bench_.options().fetch_slots, receive_);
      store_->use_memory(pool_.memory());
      std::vector<uint32_t> slots(numbers_.size());
      std::iota(slots.begin(), slots.end(), 0);
      add_circle(pool_, std::move(slots), cores.front(), [this](Slot& slot) {
        numbers_[slot.index] += static_cast<uint32_t>(numbers_.size());
        point_to(slot);
      });
      return;
    }
    // Cores divided between stages, as a pipeline with a thread for each stage would have them.
    const size_t first = cores.size() > 1 ? 1 : 0;
    const size_t lanes = cores.size() - first;
    for (size_t lane = 0; lane < lanes; ++lane) {
      std::vector<uint32_t> slots;
      for (size_t i = lane; i < rig_->fetch_slots(); i += lanes) {
        slots.push_back(rig_->fetching(static_cast<uint32_t>(i)).index);
      }
      add_circle(rig_->pool(), std::move(slots), cores[first + lane],
                 [this](Slot& slot) { rig_->move_on(slot); });
    }
  }
  void add_circle(SlotPool& pool, std::vector<uint32_t> slots, int core, std::function<void(Slot&)> next) {
    circles_.push_back(std::make_unique<StageCircle>(StageCircleParts{.kind = kind_,
                                                                      .pool = pool,
                                                                      .slots = std::move(slots),
                                                                      .clock = bench_.clock(),
                                                                      .core = core,
                                                                      .store = store_.get(),
                                                                      .next = std::move(next)}));
  }

  uint64_t value_bytes() const {
    uint64_t bytes = 0;
    for (const auto& circle : circles_) bytes += circle->value_bytes();
    return bytes;
  }
  /// Threads start, measure their lane and connect before they work.
  void wait_for_all() const {
    for (int waited_ms = 0;; ++waited_ms) {
      if (std::all_of(circles_.begin(), circles_.end(),
                      [](const auto& circle) { return circle->passed() > 32; }))
        return;
      if (waited_ms > 20'000) throw StartError(row.name + " does not begin: is the store there?");
      for (const auto& circle : circles_) circle->expect_no_failure();
      usleep(1000);
    }
  }

  PipelineBench& bench_;
  StageKind kind_;
  uint32_t cores_;
  std::shared_ptr<StageRig> rig_;
  std::string receive_;
  SlotPool pool_;
  std::vector<uint32_t> numbers_;
  std::unique_ptr<RecordStore> store_;
  std::vector<std::unique_ptr<StageCircle>> circles_;
};

}  // namespace

std::unique_ptr<Trial> alone_trial(PipelineBench& bench, StageKind kind, uint32_t cores,
                                   std::shared_ptr<StageRig> rig, const std::string& receive) {
  return std::make_unique<AloneTrial>(bench, kind, cores, std::move(rig), receive);
}

}  // namespace shadowserve
