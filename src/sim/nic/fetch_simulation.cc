// Puts the plane, its engine and the world together, and lets time pass.
#include "sim/nic/fetch_simulation.h"

#include <algorithm>
#include <array>

#include "plane/pipeline.h"
#include "sim/nic/engine_models.h"
#include "sim/nic/fetch_client.h"
#include "sim/nic/steady_rate.h"
#include "sim/nic/virtual_core.h"

namespace shadowserve::nic {
namespace {

/// Records come through one after the other, so the slower of link and network decides; 0 is no limit.
double narrower(double link_gbit_s, double network_gbit_s) {
  if (link_gbit_s <= 0 || network_gbit_s <= 0) return std::max(link_gbit_s, network_gbit_s);
  return std::min(link_gbit_s, network_gbit_s);
}

/// Everything that one simulation is made of. Members die in reverse: cores before what they stand in.
class Simulation {
 public:
  Simulation(const NicMachine& machine, const RecordSet& records, const FetchPlan& plan)
      : machine_(machine),
        world_(machine.memory_gb_s),
        clock_(world_),
        backend_(world_,
                 {narrower(plan.link_gbit_s, machine.network_gbit_s), machine.link_rtt_ns,
                  machine.link_memory_bytes},
                 records.shelf, [this] { records_came(); }),
        inflate_(world_, machine.inflate, plan.real_bytes),
        dma_(world_, machine.dma, plan.real_bytes),
        client_(records, plan, plan.window > 0 ? plan.window : 2 * machine.fetch_slots) {
    cores_wanted_ = plan.cores > 0 ? plan.cores : machine.cores;
  }

  Result<void> make(std::string& message) {
    PipelineOptions options;
    options.cores.assign(cores_wanted_, -1);  // never started: pinned to nothing
    options.fetch_slots = machine_.fetch_slots;
    options.save_slots = 1;
    options.pin_memory = false;
    options.separate_stages = machine_.separate_stages;
    options.device_engines = [this](size_t lane) {
      DeviceEngines engines;
      if (machine_.inflate.present) {
        engines.inflate = inflate_queues_.emplace_back(inflate_.queue([this, lane] { poke(lane); })).get();
      }
      if (machine_.dma.present) {
        engines.deliver = dma_queues_.emplace_back(dma_.queue([this, lane] { poke(lane); })).get();
      }
      return engines;
    };
    auto made = Pipeline::create(options, backend_, clock_, sessions_, message);
    if (!made) return fail(made.error());
    pipeline_ = std::move(*made);
    if (const auto attached = client_.attach(sessions_[0], message); !attached) return attached;
    for (const auto& loop : pipeline_->loops()) {
      cores_.push_back(std::make_unique<VirtualCore>(world_, clock_, *loop, machine_));
    }
    return {};
  }

  void run() {
    client_.begun_ns = world_.exact_now_ns();
    client_.pump(world_.now_ns());
    while (!client_.finished()) {
      bool ran = false;
      for (const auto& core : cores_) {
        if (!core->ready()) continue;
        core->run();
        ran = true;
        if (client_.pump(world_.now_ns())) poke(0);
      }
      if (ran) continue;
      SS_CHECK(world_.step(), "as long as something is asked for something will happen");
      ++client_.outcome.events;
    }
  }

  FetchOutcome outcome() {
    FetchOutcome made = client_.outcome;
    const double all_ns = std::max(1.0, client_.last_ns - client_.begun_ns);
    made.seconds = std::max(1e-9, (client_.measured_to_ns - client_.measured_from_ns) * 1e-9);
    made.wire_gbit_s = 8 * came_.per_ns();
    made.values_gb_s = came_.per_ns() * client_.measured_values / std::max(1.0, client_.measured_wire);
    auto& ms = client_.part_ms;
    std::sort(ms.begin(), ms.end());
    if (!ms.empty()) made.part_ms_p50 = ms[ms.size() / 2];
    made.all_ms = all_ns * 1e-6;
    made.plane_value_bytes = pipeline_->funnels().fetch.value_bytes.read();
    made.plane_wire_bytes = pipeline_->funnels().fetch.wire_bytes.read();
    made.memory_gb_s = world_.memory_bytes() / all_ns;
    made.memory_saturated = world_.saturated_ns() / all_ns;
    made.moved_per_byte = static_cast<double>(pipeline_->fetch_bytes_moved()) /
                          static_cast<double>(std::max<uint64_t>(1, made.plane_value_bytes));
    made.inflate_busy = inflate_.busy_ns() / all_ns / std::max(1u, machine_.inflate.units);
    made.dma_busy = dma_.busy_ns() / all_ns / std::max(1u, machine_.dma.units);
    std::map<std::string, double> busy;
    for (const auto& loop : pipeline_->loops()) {
      for (const Stage* stage : loop->stages()) {
        busy[std::string(stage->name())] += static_cast<double>(stage->counters().busy_ns.read());
      }
    }
    for (const auto& [name, ns] : busy) {
      if (ns > 0) made.busy.emplace_back(name, ns / all_ns / static_cast<double>(cores_.size()));
    }
    return made;
  }

 private:
  void poke(size_t core) {
    if (core < cores_.size()) cores_[core]->poke();
  }

  /// Every lane has a connection: a record may have come for any of them. The rate is taken here and not of
  /// the answers: the plane holds up to a slot's record for each slot, and while it answers more than comes,
  /// or less, its answers are faster than the link, or slower, for as long as we look.
  void records_came() {
    if (client_.measuring()) came_.add(world_.exact_now_ns(), static_cast<double>(backend_.came_bytes()));
    for (const auto& core : cores_) core->poke();
  }

  const NicMachine& machine_;
  uint32_t cores_wanted_ = 1;
  VirtualWorld world_;
  CoreClock clock_;
  LinkBackend backend_;
  InflateDevice inflate_;
  DmaDevice dma_;
  std::vector<std::unique_ptr<InflateEngine>> inflate_queues_;
  std::vector<std::unique_ptr<CopyEngine>> dma_queues_;
  std::array<Session, kSessionsMax> sessions_;
  FetchClient client_;
  SteadyRate came_;  // bytes over the link, while the client measures
  std::unique_ptr<Pipeline> pipeline_;
  std::vector<std::unique_ptr<VirtualCore>> cores_;
};

}  // namespace

Result<FetchOutcome> simulate_fetches(const NicMachine& machine, const RecordSet& records,
                                      const FetchPlan& plan, std::string& message) {
  if (const uint32_t window = plan.window > 0 ? plan.window : 2 * machine.fetch_slots;
      window > FetchClient::kRingEntries) {
    message = "more parts are asked for at once than the link's ring holds";
    return fail(Error::kConfig);
  }
  auto simulation = std::make_unique<Simulation>(machine, records, plan);
  if (const auto made = simulation->make(message); !made) return fail(made.error());
  simulation->run();
  return simulation->outcome();
}

}  // namespace shadowserve::nic
