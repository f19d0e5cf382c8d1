// A request's way through an engine of the simulated fleet.
#include <algorithm>

#include "contract/check.h"
#include "sim/fleet/fleet_simulation.h"

namespace shadowserve::fleet {
namespace {

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
    request.state = State::kDecoding;
    count_first_token(request);
    keep_prompt(engine, request);
    save(request, request.local_chunks + request.remote_chunks, prompt.whole_chunks());
    if (request.asked.answer_tokens == 1) {
      finish(number);
    } else {
      engine.clock.join(number, request.asked.answer_tokens - 1,
                        prompt.input_tokens + request.asked.answer_tokens / 2);
    }
  }
}

void FleetSimulation::count_first_token(const Request& request) {
  const uint32_t input = request.asked.prompt.input_tokens;
  const uint32_t local = request.local_chunks * kChunkTokens, remote = request.remote_chunks * kChunkTokens;
  const auto slices = std::ssize(result_.slices);
  const auto place =
      static_cast<int64_t>(static_cast<double>(agenda_.now_ns()) * static_cast<double>(slices) /
                           static_cast<double>(options_.end_ns()));
  Slice& now = result_.slices[static_cast<size_t>(std::min<int64_t>(place, slices - 1))];
  ++now.requests, ++result_.started;
  now.local_tokens += local, result_.local_tokens += local;
  now.remote_tokens += remote, result_.remote_tokens += remote;
  now.computed_tokens += input - local - remote, result_.computed_tokens += input - local - remote;
  result_.input_tokens += input;
  if (local > 0) ++result_.local_requests;
  if (remote > 0) ++result_.remote_requests;
  result_.ttft.add(request.first_token_ns - request.arrived_ns);
}

/// What was set aside for whole chunks of the prompt belongs to the cache from now on, and stays pinned.
void FleetSimulation::keep_prompt(Engine& engine, Request& request) {
  const Prompt& prompt = request.asked.prompt;
  // All pinned runs but the last are whole already.
  for (uint32_t index = std::max(request.pinned_runs, 1u) - 1;; ++index) {
    const Run run = prompt.run(index, prompt.whole_chunks());
    if (run.chunks == 0) return;
    const uint32_t held = engine.cache.held(run.key, agenda_.now_ns());
    if (held < run.chunks) {
      const uint32_t more = run.chunks - held;
      request.reserved_chunks -= more;
      engine.reserved_chunks -= more;
      engine.cache.set_capacity(capacity_chunks_ - engine.reserved_chunks);
      SS_CHECK(engine.cache.put(run.key, run.chunks, agenda_.now_ns()), "its pages were set aside");
    }
    if (index >= request.pinned_runs) {
      engine.cache.pin(run.key);
      ++request.pinned_runs;
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

}  // namespace shadowserve::fleet
