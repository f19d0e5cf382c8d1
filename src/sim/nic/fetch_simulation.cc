// Puts the plane, its engine and the world together, and lets time pass.
#include "sim/nic/fetch_simulation.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "plane/pipeline.h"
#include "sim/nic/engine_models.h"
#include "sim/nic/virtual_core.h"

namespace shadowserve::nic {
namespace {

constexpr uint32_t kRingEntries = 256;

/// The engine at the other end of a session: asks for part after part and takes no time itself.
class FetchClient {
 public:
  FetchClient(const RecordSet& records, const FetchPlan& plan, uint32_t window)
      : records_(records), plan_(plan), window_(window), answers_(plan.parts + window) {
    outcome.ended.resize(kErrorCount);
    stride_ = (part_shape(records.geometry, 0).value_bytes() + 63) / 64 * 64;
  }

  Result<void> attach(Session& session, std::string& message) {
    auto staging = SharedRegion::create("shadowserve-sim-staging", stride_ * window_);
    if (!staging) return fail(staging.error());
    staging_ = std::move(*staging);
    LinkHello hello;
    hello.geometry = LinkGeometry::of(records_.geometry);
    records_.profile.name().copy(hello.profile, sizeof hello.profile - 1);
    hello.staging_bytes = staging_.size();
    const auto opened = session.open(hello, dup(staging_.fd()), kRingEntries, message, records_.model);
    if (!opened) return opened;
    requests_ = RequestRing::attach(session.rings().data(), kRingEntries);
    replies_ = ReplyRing::attach(session.rings().data() + session.replies_offset(), kRingEntries);
    return {};
  }

  /// Takes answers and fills the window. True when it asked for something.
  bool pump(uint64_t now_ns) {
    LinkReply reply;
    while (replies_.pop(reply)) take(reply, now_ns);
    bool asked = false;
    for (; outcome.asked < outcome.answered + window_ && outcome.asked < answers_.size(); asked = true) {
      ask(outcome.asked++, now_ns);
    }
    return asked;
  }
  bool finished() const { return outcome.answered == answers_.size(); }
  std::vector<double>& part_ms() { return part_ms_; }

  FetchOutcome outcome;
  double begun_ns = 0, measured_from_ns = 0, measured_to_ns = 0, last_ns = 0;
  double measured_values = 0, measured_wire = 0;

  /// Bytes of values a ns: the slope of all answers over time. Answers come in bursts, one of each core, and
  /// from the first to the last would be wrong by one of these.
  double slope() const {
    const double n = sums_.n, spread = n * sums_.tt - sums_.t * sums_.t;
    return spread > 0 ? (n * sums_.tb - sums_.t * sums_.b) / spread : 0;
  }

 private:
  struct Answer {
    uint64_t asked_ns = 0;
    uint32_t count = 0;
  };
  void ask(uint64_t number, uint64_t now_ns) {
    LinkRequest request;
    request.ticket = number;
    request.op = LinkOp::kFetch;
    request.part = static_cast<uint32_t>(number % records_.geometry.parts());
    request.key = records_.key;
    request.staging_offset = number % window_ * stride_;
    request.deadline_ns = now_ns + static_cast<uint64_t>(plan_.patience_ms * 1e6);
    answers_[number].asked_ns = now_ns;
    SS_CHECK(requests_.push(request), "the window is smaller than the ring");
  }
  void take(const LinkReply& reply, uint64_t now_ns) {
    Answer& answer = answers_[reply.ticket];
    if (++answer.count > 1) ++outcome.answered_twice;
    ++outcome.answered;
    ++outcome.ended[reply.error];
    outcome.value_bytes += reply.value_bytes;
    if (reply.error == 0) outcome.wire_bytes += reply.wire_bytes;
    const auto now = static_cast<double>(now_ns);
    last_ns = now;
    const double ms = static_cast<double>(now_ns - answer.asked_ns) * 1e-6;
    if (outcome.answered == 1) outcome.first_part_ms = ms;
    if (outcome.answered == plan_.warm_parts || (outcome.answered == 1 && plan_.warm_parts == 0)) {
      measured_from_ns = now;
    } else if (outcome.answered > plan_.warm_parts && outcome.answered <= plan_.parts) {
      measured_to_ns = now;
      measured_values += static_cast<double>(reply.value_bytes);
      if (reply.error == 0) measured_wire += static_cast<double>(reply.wire_bytes);
      part_ms_.push_back(ms);
      const double t = now - measured_from_ns, b = measured_values;
      sums_ = {sums_.n + 1, sums_.t + t, sums_.b + b, sums_.tb + t * b, sums_.tt + t * t};
    }
    if (plan_.came && reply.error == 0) {
      plan_.came(reply.ticket, staging_.span().subspan(reply.ticket % window_ * stride_, reply.value_bytes));
    }
  }

  const RecordSet& records_;
  const FetchPlan& plan_;
  uint32_t window_;
  size_t stride_ = 0;
  std::vector<Answer> answers_;
  std::vector<double> part_ms_;
  struct {
    double n = 0, t = 0, b = 0, tb = 0, tt = 0;
  } sums_;
  SharedRegion staging_;
  RequestRing requests_;
  ReplyRing replies_;
};

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
                 records.shelf, [this] { poke_all(); }),
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
    const double seconds = std::max(1e-9, (client_.measured_to_ns - client_.measured_from_ns) * 1e-9);
    const double all_ns = std::max(1.0, client_.last_ns - client_.begun_ns);
    made.seconds = seconds;
    made.values_gb_s = client_.slope();
    made.wire_gbit_s = 8 * made.values_gb_s * client_.measured_wire / std::max(1.0, client_.measured_values);
    auto& ms = client_.part_ms();
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

  /// Every lane has a connection: a record may have come for any of them.
  void poke_all() {
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
  std::unique_ptr<Pipeline> pipeline_;
  std::vector<std::unique_ptr<VirtualCore>> cores_;
};

}  // namespace

Result<FetchOutcome> simulate_fetches(const NicMachine& machine, const RecordSet& records,
                                      const FetchPlan& plan, std::string& message) {
  if (const uint32_t window = plan.window > 0 ? plan.window : 2 * machine.fetch_slots;
      window > kRingEntries) {
    message = "more parts are asked for at once than the link's ring holds";
    return fail(Error::kConfig);
  }
  auto simulation = std::make_unique<Simulation>(machine, records, plan);
  if (const auto made = simulation->make(message); !made) return fail(made.error());
  simulation->run();
  return simulation->outcome();
}

}  // namespace shadowserve::nic
