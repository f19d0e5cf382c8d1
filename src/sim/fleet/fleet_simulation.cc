// Requests, engines and the loop over events.
#include "sim/fleet/fleet_simulation.h"

#include <algorithm>

#include "contract/check.h"

namespace shadowserve::fleet {
namespace {

constexpr uint64_t kEventsBetweenWatches = 1u << 16;

int64_t ns_of_ms(double ms) { return static_cast<int64_t>(ms * 1e6); }

/// Before each run of a prompt is looked for in turn.
void warm_up(const RunCache& cache, const Prompt& prompt, uint32_t chunks) {
  for (uint32_t index = 0;; ++index) {
    const Run run = prompt.run(index, chunks);
    if (run.chunks == 0) break;
    cache.prefetch_place(run.key);
  }
  for (uint32_t index = 0;; ++index) {
    const Run run = prompt.run(index, chunks);
    if (run.chunks == 0) break;
    cache.prefetch_run(run.key);
  }
}

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

/// Whatever may have changed at an engine by now.
void FleetSimulation::turn(uint32_t index) {
  Engine& engine = engines_[index];
  engine.clock.advance(agenda_.now_ns());
  if (engine.clock.end_prefill()) end_prefill(index);
  for (uint32_t done = 0; engine.clock.leave_one(done);) finish(done);
  admit(index);
  begin_prefill(index);
  rebook(index);
}

void FleetSimulation::rebook(uint32_t index) {
  Engine& engine = engines_[index];
  const int64_t next_ns = engine.clock.next_ns();
  if (next_ns == engine.booked_ns && next_ns > agenda_.now_ns()) return;
  engine.booked_ns = next_ns;
  ++engine.version;
  if (next_ns != kNever) agenda_.book(next_ns, kEngine, index, engine.version);
}

/// Pins what the engine holds of the prompt and sets pages aside for the rest. False, and nothing has changed
/// but what was used last, when they are not there.
bool FleetSimulation::reserve(Engine& engine, Request& request) {
  const Prompt& prompt = request.asked.prompt;
  request.local_chunks = request.pinned_runs = 0;
  const uint32_t usable = prompt.usable_chunks();
  warm_up(engine.cache, prompt, usable);
  for (uint32_t index = 0;; ++index) {
    const Run run = prompt.run(index, usable);
    if (run.chunks == 0) break;
    const uint32_t held = std::min(engine.cache.held(run.key, agenda_.now_ns()), run.chunks);
    if (held == 0) break;
    engine.cache.pin(run.key);
    ++request.pinned_runs;
    request.local_chunks += held;
    if (held < run.chunks) break;
  }
  const uint32_t needed =
      chunks_of(uint64_t{prompt.input_tokens} + request.asked.answer_tokens) - request.local_chunks;
  if (engine.cache.pinned_chunks() + engine.reserved_chunks + needed <= capacity_chunks_) {
    engine.reserved_chunks += needed;
    request.reserved_chunks = needed;
    engine.cache.set_capacity(capacity_chunks_ - engine.reserved_chunks);
    SS_CHECK(engine.cache.shrink_to(engine.cache.capacity_chunks()), "only pinned runs were counted");
    return true;
  }
  for (uint32_t index = request.pinned_runs; index-- > 0;) engine.cache.unpin(prompt.run(index, usable).key);
  return false;
}

void FleetSimulation::admit(uint32_t index) {
  Engine& engine = engines_[index];
  while (engine.waiting.first != kNone && engine.running < options_.engine.running_max) {
    const uint32_t number = engine.waiting.first;
    Request& request = requests_[number];
    if (!reserve(engine, request)) return;
    pop(engine.waiting);
    ++engine.running;
    uint32_t stored = 0;
    if (request.may_fetch) {
      const FleetStore::Match match = store_.match(request.asked.prompt, agenda_.now_ns());
      stored = match.chunks;
      request.unanswered = match.unanswered;
      if (match.unanswered) ++result_.lookups_unanswered;
    }
    if (stored > request.local_chunks && worth_fetching(request, stored - request.local_chunks)) {
      begin_fetch(number, stored);
    } else {
      make_ready(number);
    }
  }
}

void FleetSimulation::make_ready(uint32_t number) {
  requests_[number].state = State::kReady;
  push(engines_[requests_[number].engine].ready, number);
}

/// As many prompts as one step takes go together; a longer one goes alone, over several steps.
void FleetSimulation::begin_prefill(uint32_t index) {
  Engine& engine = engines_[index];
  if (engine.clock.in_prefill() || engine.ready.first == kNone) return;
  uint32_t tokens = 0;
  double work_ns = 0;
  while (engine.ready.first != kNone) {
    Request& request = requests_[engine.ready.first];
    const uint32_t before = (request.local_chunks + request.remote_chunks) * kChunkTokens;
    const uint32_t more = request.asked.prompt.input_tokens - before;
    if (tokens > 0 && tokens + more > options_.engine.step_tokens_max) break;
    tokens += more;
    work_ns += options_.engine.prefill_ns(more, before);
    request.state = State::kPrefill;
    push(engine.prefilling, pop(engine.ready));
  }
  engine.clock.begin_prefill(tokens, work_ns);
}

void FleetSimulation::end_prefill(uint32_t index) {
  Engine& engine = engines_[index];
  while (engine.prefilling.first != kNone) {
    const uint32_t number = pop(engine.prefilling);
    Request& request = requests_[number];
    const Prompt& prompt = request.asked.prompt;
    request.first_token_ns = agenda_.now_ns();
    const uint32_t local = request.local_chunks * kChunkTokens, remote = request.remote_chunks * kChunkTokens;
    const int64_t slice = agenda_.now_ns() * std::ssize(result_.slices) / options_.end_ns();
    Slice& now =
        result_.slices[static_cast<size_t>(std::min<int64_t>(slice, std::ssize(result_.slices) - 1))];
    ++now.requests, ++result_.started;
    now.local_tokens += local, result_.local_tokens += local;
    now.remote_tokens += remote, result_.remote_tokens += remote;
    now.computed_tokens += prompt.input_tokens - local - remote;
    result_.computed_tokens += prompt.input_tokens - local - remote;
    result_.input_tokens += prompt.input_tokens;
    if (local > 0) ++result_.local_requests;
    if (remote > 0) ++result_.remote_requests;
    result_.ttft.add(request.first_token_ns - request.arrived_ns);
    // What was set aside for whole chunks of the prompt belongs to the cache now, and stays pinned.
    // All pinned runs but the last are whole already.
    for (uint32_t run_index = std::max(request.pinned_runs, 1u) - 1;; ++run_index) {
      const Run run = prompt.run(run_index, prompt.whole_chunks());
      if (run.chunks == 0) break;
      const uint32_t held = engine.cache.held(run.key, agenda_.now_ns());
      if (held < run.chunks) {
        const uint32_t more = run.chunks - held;
        request.reserved_chunks -= more;
        engine.reserved_chunks -= more;
        engine.cache.set_capacity(capacity_chunks_ - engine.reserved_chunks);
        SS_CHECK(engine.cache.put(run.key, run.chunks, agenda_.now_ns()), "its pages were set aside");
      }
      if (run_index >= request.pinned_runs) {
        engine.cache.pin(run.key);
        ++request.pinned_runs;
      }
    }
    save(request, request.local_chunks + request.remote_chunks, prompt.whole_chunks());
    request.state = State::kDecoding;
    if (request.asked.answer_tokens == 1) {
      finish(number);
    } else {
      engine.clock.join(number, request.asked.answer_tokens - 1,
                        prompt.input_tokens + request.asked.answer_tokens / 2);
    }
  }
}

void FleetSimulation::finish(uint32_t number) {
  Request& request = requests_[number];
  Engine& engine = engines_[request.engine];
  const Prompt& prompt = request.asked.prompt;
  ++result_.done;
  result_.output_tokens += request.asked.answer_tokens;
  if (request.asked.answer_tokens > 1) {
    result_.tpot.add((agenda_.now_ns() - request.first_token_ns) / (request.asked.answer_tokens - 1));
  }
  // The last token's KV is never computed.
  const uint32_t total = (prompt.input_tokens + request.asked.answer_tokens - 1) / kChunkTokens;
  save(request, prompt.whole_chunks(), total);
  engine.reserved_chunks -= request.reserved_chunks;
  engine.cache.set_capacity(capacity_chunks_ - engine.reserved_chunks);
  // From the end to the beginning: of one text the end leaves first, as in vLLM.
  warm_up(engine.cache, prompt, total);
  uint32_t runs = request.pinned_runs;
  while (prompt.run(runs, total).chunks > 0) ++runs;
  while (runs-- > 0) {
    const Run run = prompt.run(runs, total);
    if (runs + 1 >= request.pinned_runs) engine.cache.put(run.key, run.chunks, agenda_.now_ns());
    if (runs < request.pinned_runs) engine.cache.unpin(run.key);
  }
  --engine.running;
  const int64_t follow_ns = workload_->follow_ns(request.asked.conversation, agenda_.now_ns());
  if (follow_ns < options_.end_ns()) agenda_.book(follow_ns, kFollow, request.asked.conversation, 0);
  end(number);
}

void FleetSimulation::end(uint32_t number) {
  Request& request = requests_[number];
  router_.done(request.engine);
  request.state = State::kFree;
  ++request.generation;
  free_requests_.push_back(number);
  --active_;
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
