// Failures of the simulated fleet: shards go, NICs go, NICs' links get slow, and all come back.
#include <algorithm>

#include "sim/fleet/fleet_simulation.h"

namespace shadowserve::fleet {

void FleetSimulation::plan_faults() {
  if (!options_.store.present) return;  // nothing of the engines' own fails here
  add_faults(Fault::Of::kShard, options_.shard_count(), options_.shard_faults);
  add_faults(Fault::Of::kNic, nic_count_, options_.nic_faults);
  add_faults(Fault::Of::kSlow, nic_count_, options_.slow_faults);
}

void FleetSimulation::add_faults(Fault::Of of, uint32_t count, const FaultRate& rate) {
  if (rate.between_s <= 0) return;
  for (uint32_t index = 0; index < count; ++index) {
    Fault fault{of, index, false, &rate,
                RandomStream(options_.seed, "faults", (uint64_t{static_cast<uint8_t>(of)} << 32) + index)};
    const double at_s = fault.stream.exponential(rate.between_s);
    agenda_.book(static_cast<int64_t>(at_s * kNsPerSecond), kFault, static_cast<uint32_t>(faults_.size()), 0);
    faults_.push_back(fault);
  }
}

void FleetSimulation::set_nic_rate(uint32_t nic) {
  const Nic& now = nics_[nic];
  const double part = now.down ? 0 : now.slow ? options_.slow_factor : 1;
  links_[nic].set_rate(agenda_.now_ns(), nic_in_rate_ * part);
  rebook_link(nic);
}

void FleetSimulation::change_health(uint32_t number) {
  Fault& fault = faults_[number];
  fault.active = !fault.active;
  if (fault.active) ++result_.failures;
  const uint32_t index = fault.index;
  const int64_t now_ns = agenda_.now_ns();
  switch (fault.of) {
    case Fault::Of::kShard:
      if (!fault.active) {
        store_.repair(index);
        break;
      }
      store_.fail(index, now_ns, options_.store.shard_loses_data);
      // Of a fetch that needs this shard the chunks before its first one are still of use.
      break_fetches([&](const Request& request) {
        const uint32_t end = request.local_chunks + request.remote_chunks;
        for (uint32_t place = 0;; ++place) {
          const Run run = request.asked.prompt.run(place, end);
          if (run.chunks == 0) return kNone;
          if (run.first + run.chunks <= request.local_chunks || store_.shard_of(run.key) != index) continue;
          return std::max(run.first, request.local_chunks) - request.local_chunks;
        }
      });
      break;
    case Fault::Of::kNic:
      nics_[index].down = fault.active;
      nics_[index].down_since_ns = now_ns;
      if (fault.active) {
        break_fetches([&](const Request& request) {
          return nic_of(request.engine) == index ? request.remote_chunks : kNone;
        });
      }
      set_nic_rate(index);
      break;
    case Fault::Of::kSlow:
      nics_[index].slow = fault.active;
      set_nic_rate(index);
      break;
  }
  const double next_s = fault.stream.exponential(fault.active ? fault.rate->repair_s : fault.rate->between_s);
  agenda_.book(now_ns + static_cast<int64_t>(next_s * kNsPerSecond), kFault, number, 0);
}

/// Nothing more comes of these fetches, and nobody says so: they end at their deadline with what they have.
/// `chunks_before` gives for a request how many chunks of its fetch cannot be hit by the failure, kNone if
/// none can.
void FleetSimulation::break_fetches(const std::function<uint32_t(const Request&)>& chunks_before) {
  for (uint32_t number = 0; number < requests_.size(); ++number) {
    Request& request = requests_[number];
    if (request.state != State::kFetching || request.broken) continue;
    const uint32_t before = chunks_before(request);
    if (before == kNone) continue;
    const uint64_t bytes = take_off(number);
    const uint32_t came = arrived_chunks(number, bytes);
    if (came == request.remote_chunks) continue;  // all of it had come
    request.broken = true;
    request.broken_chunks = std::min(came, before);
  }
}

}  // namespace shadowserve::fleet
