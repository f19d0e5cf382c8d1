// Start and stop of the data plane, and its stats.
#include "plane/plane.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <spdlog/spdlog.h>

#include <array>
#include <nlohmann/json.hpp>

#include "memory/frozen_heap.h"
#include "plane/network_gate.h"
#include "plane/pipeline.h"
#include "plane/reception.h"
#include "world/receive_choice.h"

namespace shadowserve {
namespace {

using nlohmann::json;

json funnel_json(const Funnel& funnel) {
  json ended = json::object();
  for (int i = 0; i < kErrorCount; ++i) {
    const uint64_t count = funnel.ended[i].read();
    if (i == 0 || count > 0) ended[i == 0 ? "done" : std::string(error_name(static_cast<Error>(i)))] = count;
  }
  return {{"asked", funnel.asked.read()},
          {"ended", ended},
          {"wire_bytes", funnel.wire_bytes.read()},
          {"value_bytes", funnel.value_bytes.read()}};
}

json stage_json(const Stage& stage, const StageLoop& loop) {
  const StageCounters& counters = stage.counters();
  return {{"stage", stage.name()},
          {"thread", loop.name()},
          {"queue", stage.queue()},
          {"slots", counters.slots.read()},
          {"failed", counters.failed.read()},
          {"bytes_in", counters.bytes_in.read()},
          {"bytes_out", counters.bytes_out.read()},
          {"bytes_moved", counters.bytes_moved.read()},
          {"busy_ns", counters.busy_ns.read()},
          {"wait_ns", counters.wait_ns.read()}};
}

/// What each lane was measured to do, in GB/s of values: how records are divided among them.
json lanes_json(const Pipeline& pipeline) {
  json lanes = json::array();
  for (size_t i = 0; i < pipeline.lanes().size(); ++i) {
    json speeds = json::object();
    for (size_t id = 0; id < kProfileCount; ++id) {
      const auto profile = static_cast<ProfileId>(id);
      const auto ps = static_cast<double>(pipeline.lanes()[i]->speed().ps_per_byte(profile));
      speeds[std::string(Profile{profile, std::nullopt}.name())] = 1000.0 / ps;
    }
    lanes.push_back({{"thread", pipeline.loops()[i]->name()}, {"gbyte_per_s", speeds}});
  }
  return lanes;
}

json engine_json(std::string_view name, const StageLoop& loop, const EngineCounters& counters, bool lost) {
  return {{"engine", name},
          {"thread", loop.name()},
          {"lost", lost},
          {"by_device", counters.by_device.read()},
          {"by_host", counters.by_host.read()},
          {"failed", counters.failed.read()},
          {"abandoned", counters.abandoned.read()}};
}

/// What hardware engines did, and what was left to this core. Empty without any.
json engines_json(const Pipeline& pipeline) {
  json engines = json::array();
  for (size_t i = 0; i < pipeline.lanes().size(); ++i) {
    const Lane& lane = *pipeline.lanes()[i];
    const StageLoop& loop = *pipeline.loops()[i];
    const auto add = [&](std::string_view name, const auto* engine) {
      if (engine == nullptr) return;
      engines.push_back(engine_json(name, loop, engine->counters(), engine->device_lost()));
    };
    add("inflate", lane.rescued_inflate());
    add("deliver", lane.deliver_engines.rescued());
    add("collect", lane.collect_engines.rescued());
  }
  return engines;
}

/// Everything of the process - also threads that a store library starts later - stays on the reserved cores.
void keep_to_cores(const std::vector<int>& cores) {
  if (cores.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(static_cast<unsigned>(core), &set);
  sched_setaffinity(0, sizeof(set), &set);
}

bool check_cores(const std::vector<int>& cores, std::string& message) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  for (const int core : cores) {
    if (core >= 0 && core < CPU_SETSIZE && CPU_ISSET(static_cast<unsigned>(core), &allowed)) continue;
    message = fmt::format("core {} is not available to this process: see `nproc` and `taskset -p $$`", core);
    return false;
  }
  return true;
}

class HostPlane final : public Plane {
 public:
  static Result<std::unique_ptr<Plane>> start(const PlaneOptions& options, std::string& message) {
    if (!check_cores(options.cores, message)) return fail(Error::kConfig);
    if (options.socket_path.starts_with(kTlsScheme)) {
      message =
          fmt::format("socket is the Unix socket of this host: {} goes to --listen", options.socket_path);
      return fail(Error::kConfig);
    }
    keep_to_cores(options.cores);
    auto plane = std::make_unique<HostPlane>();
    plane->receive_ = choose_receive(options.receive);
    if (!plane->receive_.warning.empty()) spdlog::warn("{}", plane->receive_.warning);
    auto backend = open_store(options.store_url, message, plane->receive_.make_stream);
    if (!backend) return fail(backend.error());
    plane->backend_ = std::move(*backend);
    const PipelineOptions pipeline{options.cores,   options.fetch_slots, options.save_slots,
                                   options.spin_us, options.pin_memory,  options.separate_stages,
                                   options.engines};
    auto created = Pipeline::create(pipeline, *plane->backend_, plane->clock_, plane->sessions_, message);
    if (!created) return fail(created.error());
    plane->pipeline_ = std::move(*created);
    auto calibrations = plane->backend_->client(plane->clock_, CalibrationDesk::kCallersMax);
    if (!calibrations) {
      message = fmt::format("cannot open a client of {}", plane->backend_->describe());
      return fail(calibrations.error());
    }
    plane->calibrations_ = std::move(*calibrations);
    plane->desk_ = std::make_unique<CalibrationDesk>(*plane->calibrations_, plane->clock_);
    plane->reception_ = std::make_unique<Reception>(
        plane->sessions_, plane->pipeline_->doorbell(), [raw = plane.get()] { return raw->stats_json(); },
        [pipeline = plane->pipeline_.get()](int device, std::string& said) {
          return pipeline->prepare_device(device, said);
        },
        *plane->desk_, plane->pipeline_->care());
    if (const auto bound = plane->reception_->listen(options.socket_path, message); !bound) {
      return fail(bound.error());
    }
    if (!options.listen.empty()) {
      auto gate = NetworkGate::start({options.listen, options.tls, options.window_path, options.socket_path},
                                     message);
      if (!gate) return fail(gate.error());
      plane->gate_ = std::move(*gate);
    } else if (!options.window_path.empty()) {
      message = "window is for engines of tls://: say where to listen as well (--listen tls://HOST:PORT)";
      return fail(Error::kConfig);
    }
    plane->options_ = options;
    plane->started_ns_ = plane->clock_.now_ns();
    plane->pipeline_->start();
    return std::unique_ptr<Plane>(std::move(plane));
  }

  ~HostPlane() override {
    gate_.reset();
    reception_.reset();
    desk_.reset();
    if (pipeline_) pipeline_->stop();
  }

  void serve(int stop_fd) override { reception_->serve(stop_fd); }

  std::string stats_json() const override {
    json stages = json::array();
    json threads = json::array();
    for (const auto& loop : pipeline_->loops()) {
      threads.push_back({{"thread", loop->name()}, {"core", loop->core()}, {"pinned", loop->pinned()}});
      for (const Stage* stage : loop->stages()) stages.push_back(stage_json(*stage, *loop));
    }
    json sessions = json::array();
    for (const Session& session : sessions_) {
      if (session.state() == Session::kActive)
        sessions.push_back(fmt::format("{}: {}", session.client_name(), session.profile().name()));
    }
    const StoreBackend::Usage usage = backend_->usage();
    const Funnels& funnels = pipeline_->funnels();
    const json document = {
        {"version", SHADOWSERVE_VERSION},
        {"uptime_s", static_cast<double>(clock_.now_ns() - started_ns_) * 1e-9},
        {"socket", options_.socket_path},
        {"receive",
         {{"asked", options_.receive},
          {"used", receive_.name},
          {"found", receive_.found},
          {"warning", receive_.warning}}},
        {"store",
         {{"url", backend_->describe()},
          {"bytes", usage.bytes},
          {"records", usage.records},
          {"evicted", usage.evicted},
          {"limit_bytes", usage.limit_bytes}}},
        {"threads", threads},
        {"stages", stages},
        {"lanes", lanes_json(*pipeline_)},
        {"engines", engines_json(*pipeline_)},
        {"fetch_bytes_moved", pipeline_->fetch_bytes_moved()},
        {"funnels",
         {{"lookup", funnel_json(funnels.lookup)},
          {"fetch", funnel_json(funnels.fetch)},
          {"save", funnel_json(funnels.save)}}},
        {"sessions", sessions},
        {"network", network_json()},
        {"memory", {{"slot_bytes", pipeline_->slots().bytes()}, {"pinned", pipeline_->slots().pinned()}}},
        {"heap", {{"watched", heap_is_watched()}, {"allocations_after_start", frozen_allocations()}}}};
    return document.dump() + "\n";
  }

  std::string describe() const override {
    const bool sockets = receive_.name == kReceiveSockets;
    return fmt::format("{}{} on {}{}, cores [{}], {} slots ({} MiB{})", options_.socket_path,
                       gate_ ? " and " + gate_->address() : "", backend_->describe(),
                       sockets ? "" : " (received through " + receive_.found + ")",
                       fmt::join(options_.cores, ","), pipeline_->slots().size(),
                       pipeline_->slots().bytes() >> 20, pipeline_->slots().pinned() ? ", pinned" : "");
  }

  std::string network_address() const override { return gate_ ? gate_->address() : ""; }

 private:
  json network_json() const {
    if (!gate_) return nullptr;
    const NetworkGate::Counts& counts = gate_->counts();
    return {{"address", gate_->address()},
            {"window", options_.window_path},
            {"peers", counts.peers.load(std::memory_order_relaxed)},
            {"connections", counts.connections.load(std::memory_order_relaxed)},
            {"attached", counts.attached.load(std::memory_order_relaxed)},
            {"turned_away", counts.turned_away.load(std::memory_order_relaxed)}};
  }

  // Members die in reverse: reception and threads first, sessions and store last.
  MonotonicClock clock_;
  PlaneOptions options_;
  uint64_t started_ns_ = 0;
  ReceiveChoice receive_;
  std::array<Session, kSessionsMax> sessions_;
  std::unique_ptr<StoreBackend> backend_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<RecordStore> calibrations_;
  std::unique_ptr<CalibrationDesk> desk_;
  std::unique_ptr<Reception> reception_;
  std::unique_ptr<NetworkGate> gate_;
};

}  // namespace

Result<std::unique_ptr<Plane>> Plane::start(const PlaneOptions& options, std::string& message) {
  return HostPlane::start(options, message);
}

}  // namespace shadowserve
