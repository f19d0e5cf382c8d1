// The simulated fleet: requests go through engines, links and the store, event by event.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "sim/fleet/fair_link.h"
#include "sim/fleet/fleet_events.h"
#include "sim/fleet/fleet_options.h"
#include "sim/fleet/fleet_result.h"
#include "sim/fleet/fleet_router.h"
#include "sim/fleet/fleet_store.h"
#include "sim/fleet/fleet_workload.h"
#include "sim/fleet/run_cache.h"
#include "sim/fleet/step_clock.h"

namespace shadowserve::fleet {

/// Called every some ten thousand events with the virtual time and the requests that are done; false stops
/// the run.
using Watch = std::function<bool(double seconds, uint64_t done)>;

/// Runs once, on one thread. The result depends on the options (and the trace) only. REQUIRES
/// complaint(options) to be empty, and `trace` for a workload of that kind.
FleetResult simulate_fleet(const FleetOptions& options, const Trace* trace = nullptr,
                           const Watch& watch = {});

/// One run; see simulate_fleet(). The life of a request: arrived -> (lookup) -> waiting -> (fetching) ->
/// ready -> in prefill -> decoding -> done.
class FleetSimulation {
 public:
  FleetSimulation(const FleetOptions& options, const Trace* trace);
  FleetResult run(const Watch& watch);

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  enum Kind : uint8_t { kBegin, kFollow, kLookup, kFetched, kDeadline, kEngine, kLink, kFault, kEnd };
  enum class State : uint8_t { kFree, kLookup, kWaiting, kFetching, kReady, kPrefill, kDecoding };

  struct Request {
    Question asked;
    int64_t arrived_ns = 0, first_token_ns = 0;
    int64_t fetch_begun_ns = 0, shard_done_ns = 0;
    uint64_t fetch_bytes = 0;
    uint32_t engine = 0, next = kNone, generation = 0;
    uint32_t local_chunks = 0, remote_chunks = 0;  // remote: asked for while fetching, then what came
    uint32_t reserved_chunks = 0, pinned_runs = 0;
    uint32_t flows = 0;          // on links
    uint32_t broken_chunks = 0;  // what had come when something failed
    State state = State::kFree;
    bool broken = false;
    bool may_fetch = false;
    bool unanswered = false;
  };
  struct Queue {
    uint32_t first = kNone, last = kNone;
  };
  struct Engine {
    explicit Engine(const EngineParameters* parameters) : clock(parameters) {}
    StepClock clock;
    RunCache cache;
    Queue waiting, ready, prefilling;
    uint64_t reserved_chunks = 0;
    uint32_t running = 0, version = 0;
    int64_t booked_ns = kNever;
  };
  struct Nic {
    bool down = false, slow = false;
    int64_t down_since_ns = 0;
    FifoLink out;
  };
  struct Fault {
    enum class Of : uint8_t { kShard, kNic, kSlow } of = Of::kShard;
    uint32_t index = 0;
    bool active = false;
    const FaultRate* rate = nullptr;
    RandomStream stream{0, ""};
  };

  // fleet_simulation.cc: events, and how requests come.
  void handle(const Event& event);
  void look_ahead();
  void begin_new();
  void arrive(const Question& question);
  void push(Queue& queue, uint32_t request);
  uint32_t pop(Queue& queue);
  void take_usage();

  // fleet_turns.cc: a request's way through an engine.
  void enter(uint32_t request);
  void turn(uint32_t engine);
  void admit(uint32_t engine);
  bool reserve(Engine& engine, Request& request);
  void make_ready(uint32_t request);
  void begin_prefill(uint32_t engine);
  void end_prefill(uint32_t engine);
  void finish(uint32_t request);
  void end(uint32_t request);
  void rebook(uint32_t engine);
  void count_first_token(const Request& request);
  void keep_prompt(Engine& engine, Request& request);

  // fleet_transfers.cc: between engine and store.
  void begin_fetch(uint32_t request, uint32_t stored_chunks);
  bool worth_fetching(const Request& request, uint32_t chunks) const;
  void links_moved(uint32_t link);
  void rebook_link(uint32_t link);
  void fetched(uint32_t request);
  void fetch_late(uint32_t request);
  void end_fetch(uint32_t request, uint32_t chunks);
  uint32_t arrived_chunks(uint32_t request, uint64_t bytes) const;
  uint64_t take_off(uint32_t request);
  void save(const Request& request, uint32_t from, uint32_t to);
  uint32_t nic_of(uint32_t engine) const { return engine / options_.network.engines_per_nic; }
  uint32_t rack_link(uint32_t nic) const { return nic_count_ + nic / options_.network.rack_nics; }

  // fleet_faults.cc: what fails and is repaired.
  void plan_faults();
  void add_faults(Fault::Of of, uint32_t count, const FaultRate& rate);
  void change_health(uint32_t fault);
  void break_fetches(const std::function<uint32_t(const Request&)>& chunks_before);
  void set_nic_rate(uint32_t nic);

  const FleetOptions options_;
  const uint32_t nic_count_, capacity_chunks_;
  const double nic_in_rate_, nic_out_rate_;
  std::unique_ptr<Workload> workload_;
  Agenda agenda_;
  Router router_;
  FleetStore store_;
  std::vector<Engine> engines_;
  std::vector<Nic> nics_;
  std::vector<FairLink> links_;  // towards each NIC, then towards each rack
  std::vector<uint32_t> link_versions_;
  std::vector<FifoLink> racks_out_;
  std::vector<Request> requests_;
  std::vector<uint32_t> free_requests_;
  std::vector<Fault> faults_;
  uint64_t active_ = 0;
  bool ended_ = false;
  FleetResult result_;
};

}  // namespace shadowserve::fleet
