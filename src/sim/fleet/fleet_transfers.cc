// Fetches and saves of the simulated fleet.
#include <algorithm>

#include "sim/fleet/fleet_simulation.h"

namespace shadowserve::fleet {

/// With --fetch faster: the bytes at this moment's share of the link against computing the same chunks alone.
bool FleetSimulation::worth_fetching(const Request& request, uint32_t chunks) const {
  if (!options_.store.fetch_if_faster) return true;
  const FairLink& link = links_[nic_of(request.engine)];
  if (link.rate() <= 0) return false;
  const double fetch_ns = static_cast<double>(chunks * store_.chunk_bytes()) *
                              static_cast<double>(link.flows() + 1) / link.rate() * kNsPerSecond +
                          options_.network.delivery_ms * 1e6;
  return fetch_ns < options_.engine.prefill_ns(chunks * kChunkTokens, request.local_chunks * kChunkTokens);
}

/// A fetch is on all its resources at once - its shards, its rack's uplink, its NIC - and ends when the
/// slowest of them has served it.
void FleetSimulation::begin_fetch(uint32_t number, uint32_t stored_chunks) {
  Request& request = requests_[number];
  const int64_t now_ns = agenda_.now_ns();
  const uint32_t nic = nic_of(request.engine);
  request.state = State::kFetching;
  request.remote_chunks = stored_chunks - request.local_chunks;
  request.fetch_bytes = request.remote_chunks * store_.chunk_bytes();
  request.fetch_begun_ns = now_ns;
  request.shard_done_ns = store_.send(request.asked.prompt, request.local_chunks, stored_chunks, now_ns);
  if (request.unanswered) {
    request.shard_done_ns = std::max(request.shard_done_ns,
                                     now_ns + static_cast<int64_t>(options_.network.lookup_timeout_ms * 1e6));
  }
  ++result_.fetches;
  request.flows = 1;
  links_[nic].add(now_ns, number, request.fetch_bytes);
  rebook_link(nic);
  if (options_.network.rack_nics > 0) {
    ++request.flows;
    links_[rack_link(nic)].add(now_ns, number, request.fetch_bytes);
    rebook_link(rack_link(nic));
  }
  agenda_.book(now_ns + static_cast<int64_t>(options_.network.deadline_ms * 1e6), kDeadline, number,
               request.generation);
}

void FleetSimulation::rebook_link(uint32_t link) {
  const int64_t next_ns = links_[link].next_end_ns();
  ++link_versions_[link];
  if (next_ns != kNever) agenda_.book(next_ns, kLink, link, link_versions_[link]);
}

void FleetSimulation::links_moved(uint32_t link) {
  const int64_t now_ns = agenda_.now_ns();
  for (FairLink::Ended ended; links_[link].end_one(now_ns, ended);) {
    Request& request = requests_[ended.flow];
    if (link < nic_count_) result_.fetched_bytes += ended.bytes;
    if (--request.flows > 0) continue;
    const auto delivery_ns = static_cast<int64_t>(options_.network.delivery_ms * 1e6);
    agenda_.book(std::max(now_ns, request.shard_done_ns) + delivery_ns, kFetched, ended.flow,
                 request.generation);
  }
  rebook_link(link);
}

void FleetSimulation::fetched(uint32_t number) {
  const Request& request = requests_[number];
  if (request.state != State::kFetching || request.broken) return;
  end_fetch(number, request.remote_chunks);
}

/// Takes a fetch off its links; returns the bytes that had come through all of them.
uint64_t FleetSimulation::take_off(uint32_t number) {
  Request& request = requests_[number];
  if (request.flows == 0) return request.fetch_bytes;
  request.flows = 0;
  const uint32_t nic = nic_of(request.engine);
  uint64_t came = request.fetch_bytes;
  const auto take = [&](uint32_t link) {
    const size_t flows = links_[link].flows();
    const uint64_t bytes = links_[link].remove(agenda_.now_ns(), number);
    if (links_[link].flows() == flows) return;  // it was through this one
    if (link == nic) result_.fetched_bytes += bytes;
    came = std::min(came, bytes);
    rebook_link(link);
  };
  take(nic);
  if (options_.network.rack_nics > 0) take(rack_link(nic));
  return came;
}

/// Leading chunks of a fetch of which `bytes` came through the links. Shards are taken to have sent at an
/// even rate.
uint32_t FleetSimulation::arrived_chunks(uint32_t number, uint64_t bytes) const {
  const Request& request = requests_[number];
  double part = static_cast<double>(bytes) / static_cast<double>(std::max<uint64_t>(request.fetch_bytes, 1));
  const int64_t now_ns = agenda_.now_ns();
  if (request.shard_done_ns > now_ns) {
    part = std::min(part, static_cast<double>(now_ns - request.fetch_begun_ns) /
                              static_cast<double>(request.shard_done_ns - request.fetch_begun_ns));
  }
  return static_cast<uint32_t>(part * request.remote_chunks);
}

void FleetSimulation::fetch_late(uint32_t number) {
  Request& request = requests_[number];
  if (request.state != State::kFetching) return;
  ++result_.fetches_late;
  if (request.broken) {
    ++result_.fetches_broken;
    return end_fetch(number, request.broken_chunks);
  }
  const uint64_t bytes = take_off(number);
  end_fetch(number, arrived_chunks(number, bytes));
}

void FleetSimulation::end_fetch(uint32_t number, uint32_t chunks) {
  Request& request = requests_[number];
  request.remote_chunks = chunks;
  result_.fetched_chunks += chunks;
  result_.fetch.add(agenda_.now_ns() - request.fetch_begun_ns);
  make_ready(number);
  turn(request.engine);
}

/// Stores chunks [from, to) of a request's text behind the engine's back. Links towards the store serve in
/// order; a chunk is there when the slowest of them has carried it.
void FleetSimulation::save(const Request& request, uint32_t from, uint32_t to) {
  if (!options_.store.present || !options_.store.save || to <= from) return;
  const int64_t now_ns = agenda_.now_ns();
  const uint32_t nic = nic_of(request.engine);
  store_.warm_up(request.asked.prompt, from, to);
  for (uint32_t index = 0;; ++index) {
    const Run run = request.asked.prompt.run(index, to);
    if (run.chunks == 0) return;
    const uint32_t end = run.first + run.chunks;
    if (end <= from) continue;
    const uint32_t begin = std::max(run.first, from);
    Shard& shard = store_.shard(store_.shard_of(run.key));
    const uint32_t held = shard.cache.held(run.key, now_ns);
    if (held >= run.chunks) continue;  // by another engine, meanwhile
    const uint32_t first = std::max(begin, run.first + held);
    if (nics_[nic].down || shard.down || run.first + held < begin) {
      result_.unsaved_chunks += end - first;
      continue;
    }
    const uint32_t chunks = end - first;
    const uint64_t bytes = chunks * store_.chunk_bytes();
    int64_t ready_ns = std::max(nics_[nic].out.serve(now_ns, bytes),
                                shard.in.serve(now_ns, bytes, store_.service_ns(chunks)));
    if (!racks_out_.empty()) {
      ready_ns = std::max(ready_ns, racks_out_[rack_link(nic) - nic_count_].serve(now_ns, bytes));
    }
    result_.saved_bytes += bytes;
    result_.saved_chunks += chunks;
    if (!shard.cache.put(run.key, run.chunks, ready_ns)) result_.unsaved_chunks += chunks;
  }
}

}  // namespace shadowserve::fleet
