// Bookkeeping of lookups on the engine's thread.
#include "control/lookup.h"

#include <algorithm>

#include "contract/check.h"

namespace shadowserve {

Lookup::Lookup(ClientOptions options, const Clock& clock, Thread thread)
    : options_(std::move(options)),
      clock_(clock),
      root_(root_key(options_.space)),
      worker_(options_, clock_, counters_) {
  if (thread == Thread::kOwn) thread_ = std::make_unique<LinkThread>(worker_, clock_, options_.core);
}

size_t Lookup::chain(const ChunkKey* parent, std::span<const uint32_t> tokens,
                     std::span<const std::byte> extra, std::span<ChunkKey> keys) const {
  const size_t each = options_.geometry().chunk_tokens;
  const size_t count = std::min(tokens.size() / each, keys.size());
  ChunkKey key = parent == nullptr ? root_ : *parent;
  for (size_t chunk = 0; chunk < count; ++chunk) {
    key = next_chunk_key(key, tokens.subspan(chunk * each, each), extra);
    keys[chunk] = key;
  }
  return count;
}

void Lookup::start(uint64_t id, std::span<const ChunkKey> keys) {
  forget(id);
  const uint64_t chunks = keys.size() * options_.space.shard_count;
  counters_.asked.fetch_add(chunks, std::memory_order_relaxed);
  Open& open = open_[id];
  if (keys.empty()) return;
  if (counters_.connected.load(std::memory_order_acquire) == 0) {
    counters_.without_plane.fetch_add(chunks, std::memory_order_relaxed);
    return;
  }
  const uint64_t now = clock_.now_ns();
  const Breaker::Pass pass = breaker_.ask(now);
  if (pass == Breaker::Pass::kRefused) {
    counters_.breaker.fetch_add(chunks, std::memory_order_relaxed);
    return;
  }
  auto job = std::make_shared<LookupJob>();
  job->keys.assign(keys.begin(), keys.end());
  job->deadline_ns = now + options_.lookup_timeout_ns;
  job->answers = std::make_unique<std::atomic<Answer>[]>(keys.size());
  open.job = job;
  open.probe = pass == Breaker::Pass::kProbe;
  bool wake = false;
  if (!worker_.hand_over(job, wake)) worker_.decide(*job, 0, Error::kDeadline);
  if (wake && thread_) thread_->wake();
}

int64_t Lookup::poll(uint64_t id) {
  const auto found = open_.find(id);
  if (found == open_.end() || found->second.job == nullptr) return 0;
  Open& open = found->second;
  // The link thread keeps the deadline; if it cannot run, the scheduler must not wait for it either.
  if (clock_.now_ns() >= open.job->deadline_ns + 2 * LookupWorker::kGraceNs) {
    worker_.decide(*open.job, 0, Error::kDeadline);
  }
  const int64_t result = open.job->result();
  if (result != SS_PENDING) settle(open);
  return result;
}

void Lookup::forget(uint64_t id) {
  const auto found = open_.find(id);
  if (found == open_.end()) return;
  Open& open = found->second;
  if (open.job != nullptr) {
    // Decides it, so that the link thread stops asking; its chunks count as not found.
    if (worker_.decide(*open.job, 0, Error::kCancelled)) {
      if (open.probe) breaker_.probe_withdrawn();
    } else {
      settle(open);
    }
    learn(*open.job);
  }
  open_.erase(found);
}

void Lookup::settle(Open& open) {
  if (open.settled) return;
  open.settled = true;
  const Error error = open.job->error();
  breaker_.lookup_ended(Breaker::is_failure(error), open.probe, clock_.now_ns());
  learn(*open.job);
}

void Lookup::learn(LookupJob& job) {
  const uint64_t now = clock_.now_ns();
  // What is missing but was claimed within a save's time may still be on its way.
  const uint64_t since = now > options_.save_timeout_ns ? now - options_.save_timeout_ns : 0;
  for (size_t chunk = 0; chunk < job.keys.size(); ++chunk) {
    // Taken: a fetch may have found the chunk damaged since, and only a new question may say otherwise.
    const Answer answer = job.answers[chunk].exchange(Answer::kNone, std::memory_order_acq_rel);
    if (answer == Answer::kStored) saved_.remember(job.keys[chunk], now);
    if (answer == Answer::kMissing) saved_.forget_older(job.keys[chunk], since);
  }
}

void Lookup::fetch_ended(Error error, const ChunkKey* key) {
  if (error == Error::kNone || Breaker::is_failure(error)) {
    breaker_.fetch_ended(error != Error::kNone, clock_.now_ns());
  }
  if (error != Error::kNone && key != nullptr) saved_.forget(*key);
}

void Lookup::read_stats(ss_lookup_stats& out) const {
  const auto read = [](const auto& counter) { return counter.load(std::memory_order_relaxed); };
  out = {};
  out.chunks_asked = read(counters_.asked);
  out.chunks_found = read(counters_.found);
  out.chunks_missing = read(counters_.missing);
  out.chunks_timed_out = read(counters_.timed_out);
  out.chunks_without_plane = read(counters_.without_plane);
  out.chunks_breaker = read(counters_.breaker);
  out.connects = read(counters_.connects);
  out.disconnects = read(counters_.disconnects);
  out.connected = read(counters_.connected);
}

}  // namespace shadowserve
