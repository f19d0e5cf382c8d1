// A lane on its own core, with a neighbour as it has in the pipeline.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "bench/run_queue.h"
#include "command.h"
#include "sim_nic_trials.h"

namespace shadowserve {
namespace {

constexpr double kWarmShare = 0.25;
constexpr int kPatienceMs = 20'000;

void sleep_s(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

/// Runs where a client would, until it dies.
class NeighbourThread {
 public:
  NeighbourThread(Neighbour kind, const LaneCircle& lane) {
    if (kind == Neighbour::kIdle) return;
    thread_ = std::thread([this, kind, &lane] {
      if (kind == Neighbour::kSpins) {
        while (!stop_.load(std::memory_order_relaxed)) continue;
        return;
      }
      Stopwatch watch;
      watch.start();
      const uint64_t before = lane.tally().parts;
      while (!stop_.load(std::memory_order_relaxed)) {
        watch.stop();
        watch.start();
        const uint64_t parts = std::max<uint64_t>(1, lane.tally().parts - before);
        sleep_s(std::clamp(watch.seconds() / static_cast<double>(parts), 20e-6, 0.01));
      }
    });
  }
  ~NeighbourThread() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class LaneTrial final : public Trial {
 public:
  LaneTrial(PipelineBench& bench, uint32_t cores, Neighbour neighbour)
      : bench_(bench), cores_(cores), neighbour_(neighbour) {
    row.table = kLaneTable;
    row.name = neighbour == Neighbour::kIdle     ? "neighbour idle"
               : neighbour == Neighbour::kClient ? "neighbour as a client"
                                                 : "neighbour spins";
  }
  void repeat(bool counted) override {
    bench_.keep_others_off(cores_);
    LaneCircle lane(bench_, bench_.plane_cores(cores_).back(), bench_.options().separate_stages);
    const uint64_t round = 2 * bench_.options().fetch_slots;
    for (int waited_ms = 0; lane.tally().parts < round; ++waited_ms) {
      if (waited_ms > kPatienceMs) throw StartError("a lane alone does not begin: is the store there?");
      lane.expect_no_failure();
      usleep(1000);
    }
    const double seconds = bench_.options().seconds * (counted ? 1 : kWarmShare);
    const NeighbourThread neighbour(neighbour_, lane);
    sleep_s(kWarmShare * seconds);
    const LaneTally before = lane.tally();
    const uint64_t waited_ns = waited_for_core_ns(LaneCircle::kThreadName);
    Stopwatch watch;
    watch.start();
    sleep_s(seconds);
    const LaneTally after = lane.tally();
    watch.stop();
    lane.expect_no_failure();
    if (counted)
      note(before, after, watch.seconds(), waited_for_core_ns(LaneCircle::kThreadName) - waited_ns);
  }

 private:
  void note(const LaneTally& before, const LaneTally& after, double seconds, uint64_t waited_ns) {
    const auto values = static_cast<double>(after.value_bytes - before.value_bytes);
    auto left_ns = static_cast<double>(after.cpu_ns - before.cpu_ns);
    for (size_t i = 0; i < after.busy_ns.size(); ++i) {
      const auto& [name, busy_ns] = after.busy_ns[i];
      const auto ns = static_cast<double>(busy_ns - before.busy_ns[i].second);
      if (name == "receive" || ns <= 0) continue;
      left_ns -= ns;
      add_rate(name, values, ns * 1e-9);
    }
    add_rate("receive", values, std::max(1.0, left_ns) * 1e-9);
    add_rate(kDelivered, values, seconds);
    add_rate(kWaited, static_cast<double>(waited_ns), seconds);  // 10^9 ns a second
  }

  PipelineBench& bench_;
  uint32_t cores_;
  Neighbour neighbour_;
};

/// Receives on every core of the plane and does nothing with it.
class ServerTrial final : public Trial {
 public:
  ServerTrial(PipelineBench& bench, uint32_t cores) : bench_(bench), cores_(cores) {
    row.table = "machine", row.name = "server";
  }
  void repeat(bool counted) override {
    bench_.keep_others_off(cores_);
    std::vector<Receiver> receivers(cores_);
    const std::vector<int> cores = bench_.plane_cores(cores_);
    for (uint32_t i = 0; i < cores_; ++i) begin(receivers[i], cores[i]);
    const double seconds = bench_.options().seconds * (counted ? 1 : kWarmShare);
    sleep_s(kWarmShare * seconds);
    const uint64_t before = received(receivers);
    Stopwatch watch;
    watch.start();
    sleep_s(seconds);
    const uint64_t bytes = received(receivers) - before;
    watch.stop();
    for (Receiver& receiver : receivers) receiver.circle->expect_no_failure();
    for (Receiver& receiver : receivers) receiver.circle->stop();
    if (bytes == 0) throw StartError("the store's server sends nothing: is it overloaded?");
    if (counted) add_rate(kServed, 8 * static_cast<double>(bytes), watch.seconds());
  }

 private:
  struct Receiver {
    SlotPool pool;
    std::unique_ptr<RecordStore> store;
    uint32_t number = 0;
    std::unique_ptr<StageCircle> circle;  // ends first
  };
  void begin(Receiver& receiver, int core) {
    const uint32_t count = std::max(2u, bench_.options().fetch_slots / cores_);
    auto pool = SlotPool::create(count, 1);
    if (!pool) throw StartError("no memory for slots");
    receiver.pool = std::move(*pool);
    receiver.store = bench_.store().client(bench_.clock(), count);
    std::vector<uint32_t> slots;
    const auto to_next = [this, &receiver](Slot& slot) {
      const BenchInput& input = bench_.input();
      const uint32_t part = receiver.number++ % input.parts();
      slot.shape = input.part(part);
      slot.request.part = slot.shape.part;
      slot.request.key = bench_key(bench_.profile(), part / input.geometry().parts());
    };
    for (uint32_t i = 0; i < count; ++i) {
      Slot& slot = *receiver.pool.take(/*saving=*/false);
      slot.request.deadline_ns = UINT64_MAX;
      to_next(slot);
      slots.push_back(slot.index);
    }
    receiver.circle = std::make_unique<StageCircle>(StageCircleParts{.kind = StageKind::kReceive,
                                                                     .pool = receiver.pool,
                                                                     .slots = std::move(slots),
                                                                     .clock = bench_.clock(),
                                                                     .core = core,
                                                                     .store = receiver.store.get(),
                                                                     .next = to_next});
    receiver.circle->start();
  }
  static uint64_t received(const std::vector<Receiver>& receivers) {
    uint64_t bytes = 0;
    for (const Receiver& receiver : receivers) bytes += receiver.circle->record_bytes();
    return bytes;
  }

  PipelineBench& bench_;
  uint32_t cores_;
};

}  // namespace

std::unique_ptr<Trial> lane_trial(PipelineBench& bench, uint32_t cores, Neighbour neighbour) {
  return std::make_unique<LaneTrial>(bench, cores, neighbour);
}

std::unique_ptr<Trial> server_trial(PipelineBench& bench, uint32_t cores) {
  return std::make_unique<ServerTrial>(bench, cores);
}

}  // namespace shadowserve
