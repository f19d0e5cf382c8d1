// The loop over events, and how requests come.
#include "sim/fleet/fleet_simulation.h"

#include <algorithm>
#include <span>

namespace shadowserve::fleet {
namespace {

constexpr uint64_t kEventsBetweenWatches = 1u << 16;

int64_t ns_of_ms(double ms) { return static_cast<int64_t>(ms * 1e6); }

uint32_t chunks_of(uint64_t tokens) {
  return static_cast<uint32_t>((tokens + kChunkTokens - 1) / kChunkTokens);
}

}  // namespace

FleetSimulation::FleetSimulation(const FleetOptions& options, const Trace* trace)
    : options_(options),
      nic_count_(options.nic_count()),
      capacity_chunks_(options.engine.kv_tokens / kChunkTokens),
      // Every fetch of a NIC goes through its link and its pipeline, so the slower of the two is one
      // resource.
      nic_in_rate_(
          std::min(options.network.nic_gbit / 8, options.network.pipeline_gb_s / options.model.ratio) * 1e9),
      nic_out_rate_(std::min(options.network.nic_gbit / 8, options.network.save_gb_s / options.model.ratio) *
                    1e9),
      workload_(make_workload(options_, trace)),
      router_(options.workload.routing, options.engines),
      store_(options),
      engines_(options.engines, Engine(&options_.engine)),
      nics_(nic_count_),
      links_(nic_count_, FairLink(nic_in_rate_)),
      link_versions_(nic_count_ + options.rack_count()) {
  for (Engine& engine : engines_) engine.cache.set_capacity(capacity_chunks_);
  for (Nic& nic : nics_) nic.out = FifoLink(nic_out_rate_);
  const double uplink =
      options.network.rack_nics * options.network.nic_gbit / 8 * 1e9 / options.network.oversubscription;
  links_.resize(link_versions_.size(), FairLink(uplink));
  racks_out_.resize(options.rack_count(), FifoLink(uplink));
  plan_faults();
}

FleetResult FleetSimulation::run(const Watch& watch) {
  agenda_.book(options_.end_ns(), kEnd, 0, 0);
  begin_new();
  const int64_t drained_ns = options_.end_ns() + static_cast<int64_t>(options_.drain_s * kNsPerSecond);
  for (Event event; agenda_.next(event);) {
    if (event.time_ns > drained_ns || (ended_ && active_ == 0)) break;
    look_ahead();
    handle(event);
    if (++result_.events % kEventsBetweenWatches == 0 && watch &&
        !watch(static_cast<double>(event.time_ns) / kNsPerSecond, result_.done)) {
      result_.complete = false;
      break;
    }
  }
  if (!ended_) take_usage();
  result_.open = active_;
  for (uint32_t nic = 0; nic < nic_count_; ++nic) {
    result_.nic_in_bytes += links_[nic].carried_bytes();
    result_.nic_out_bytes += nics_[nic].out.carried_bytes();
  }
  for (const Shard& shard : store_.shards()) {
    result_.shard_in_bytes += shard.in.carried_bytes();
    result_.shard_out_bytes += shard.out.carried_bytes();
    result_.evicted_chunks += shard.cache.evicted_chunks();
  }
  return result_;
}

/// What the next events will read is all over the memory: it is on its way while this event is handled.
void FleetSimulation::look_ahead() {
  const auto fetch = [](const void* at, size_t bytes) {
    for (size_t offset = 0; offset < bytes; offset += 64)
      __builtin_prefetch(static_cast<const char*>(at) + offset);
  };
  const std::span<const Event> ahead = agenda_.ahead();
  for (const Event& event : ahead) {
    if (event.kind == kEngine) fetch(&engines_[event.subject], sizeof(Engine));
    if (event.kind == kLink) fetch(&links_[event.subject], sizeof(FairLink));
    if (event.kind >= kLookup && event.kind <= kDeadline) fetch(&requests_[event.subject], sizeof(Request));
  }
  if (!ahead.empty() && ahead[0].kind == kEngine) engines_[ahead[0].subject].clock.prefetch();
}

void FleetSimulation::handle(const Event& event) {
  const uint32_t subject = event.subject;
  const bool current =
      event.kind < kLookup || event.kind > kDeadline || requests_[subject].generation == event.version;
  if (!current) return;
  switch (static_cast<Kind>(event.kind)) {
    case kBegin:
      if (ended_) return;
      arrive(workload_->begin());
      return begin_new();
    case kFollow:
      if (ended_) return;
      return arrive(workload_->question(subject));
    case kLookup:
      return enter(subject);
    case kFetched:
      return fetched(subject);
    case kDeadline:
      return fetch_late(subject);
    case kEngine:
      if (engines_[subject].version == event.version) turn(subject);
      return;
    case kLink:
      if (link_versions_[subject] == event.version) links_moved(subject);
      return;
    case kFault:
      return change_health(subject);
    case kEnd:
      return take_usage();
  }
}

void FleetSimulation::begin_new() {
  if (workload_->next_begin_ns() < options_.end_ns()) agenda_.book(workload_->next_begin_ns(), kBegin, 0, 0);
}

void FleetSimulation::arrive(const Question& question) {
  ++result_.arrived;
  if (chunks_of(uint64_t{question.prompt.input_tokens} + question.answer_tokens) > capacity_chunks_) {
    ++result_.refused;
    return;
  }
  uint32_t number = 0;
  if (free_requests_.empty()) {
    number = static_cast<uint32_t>(requests_.size());
    requests_.emplace_back();
  } else {
    number = free_requests_.back();
    free_requests_.pop_back();
  }
  Request& request = requests_[number];
  const uint32_t generation = request.generation;
  request = Request{};
  request.generation = generation;
  request.asked = question;
  request.arrived_ns = agenda_.now_ns();
  request.engine = router_.route(question.session);
  ++active_;
  if (!options_.store.present) return enter(number);
  const Nic& nic = nics_[nic_of(request.engine)];
  request.state = State::kLookup;
  request.may_fetch = !nic.down;
  // A data plane that is known to be down is not asked; one that has just gone does not answer.
  const bool unanswered = nic.down && agenda_.now_ns() - nic.down_since_ns < kNoticeNs;
  if (nic.down && !unanswered) return enter(number);
  if (unanswered) ++result_.lookups_unanswered;
  const double wait_ms = unanswered ? options_.network.lookup_timeout_ms : options_.network.lookup_ms;
  agenda_.book(agenda_.now_ns() + ns_of_ms(wait_ms), kLookup, number, generation);
}

void FleetSimulation::enter(uint32_t number) {
  Request& request = requests_[number];
  request.state = State::kWaiting;
  push(engines_[request.engine].waiting, number);
  turn(request.engine);
}

void FleetSimulation::push(Queue& queue, uint32_t number) {
  requests_[number].next = kNone;
  (queue.last == kNone ? queue.first : requests_[queue.last].next) = number;
  queue.last = number;
}

uint32_t FleetSimulation::pop(Queue& queue) {
  const uint32_t number = queue.first;
  queue.first = requests_[number].next;
  if (queue.first == kNone) queue.last = kNone;
  return number;
}

/// How busy everything was until now, which is when requests cease to arrive or the run was stopped.
void FleetSimulation::take_usage() {
  ended_ = true;
  const int64_t now_ns = agenda_.now_ns();
  result_.seconds = static_cast<double>(now_ns) / kNsPerSecond;
  const auto count_in = [&](Usage& usage, int64_t busy_ns) {
    const double part = static_cast<double>(busy_ns) / static_cast<double>(std::max<int64_t>(now_ns, 1));
    usage.mean = (usage.mean * usage.count + part) / (usage.count + 1);
    usage.max = std::max(usage.max, part);
    ++usage.count;
  };
  for (Engine& engine : engines_) {
    engine.clock.advance(now_ns);
    count_in(result_.engine, engine.clock.busy_ns());
    count_in(result_.prefill, engine.clock.prefill_ns());
  }
  if (!options_.store.present) return;
  for (uint32_t link = 0; link < links_.size(); ++link) {
    count_in(link < nic_count_ ? result_.nic_in : result_.rack_in, links_[link].busy_ns(now_ns));
  }
  for (const Nic& nic : nics_) count_in(result_.nic_out, nic.out.busy_ns(now_ns));
  uint64_t stored = 0;
  for (const Shard& shard : store_.shards()) {
    count_in(result_.shard_out, shard.out.busy_ns(now_ns));
    count_in(result_.shard_in, shard.in.busy_ns(now_ns));
    stored += shard.cache.used_chunks();
  }
  result_.stored_gb = static_cast<double>(stored * store_.chunk_bytes()) * 1e-9;
  result_.store_gb = options_.store.shard_gb * static_cast<double>(store_.shards().size());
}

FleetResult simulate_fleet(const FleetOptions& options, const Trace* trace, const Watch& watch) {
  return FleetSimulation(options, trace).run(watch);
}

}  // namespace shadowserve::fleet
