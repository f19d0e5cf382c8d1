// The engine's half of a lookup: chains keys, starts questions, reads answers, keeps breaker and saved-set.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>

#include "control/breaker.h"
#include "control/client_options.h"
#include "control/link_thread.h"
#include "control/lookup_worker.h"
#include "control/saved_set.h"

namespace shadowserve {

/// What ss_lookup is. Every call from one thread at a time; none blocks. Of a model in several shards it
/// speaks of whole chunks: one is stored when every shard has its records; only counters count each shard's.
class Lookup {
 public:
  enum class Thread : uint8_t { kOwn, kStepped };
  Lookup(ClientOptions options, const Clock& clock, Thread thread = Thread::kOwn);

  size_t chain(const ChunkKey* parent, std::span<const uint32_t> tokens, std::span<const std::byte> extra,
               std::span<ChunkKey> keys) const;
  size_t chunks_in(size_t tokens) const { return tokens / options_.geometry().chunk_tokens; }
  void start(uint64_t id, std::span<const ChunkKey> keys);
  int64_t poll(uint64_t id);
  void forget(uint64_t id);
  void fetch_ended(Error error, const ChunkKey* key);
  bool claim_save(const ChunkKey& key) { return saved_.claim(key, clock_.now_ns()); }
  void read_stats(ss_lookup_stats& out) const;

  const ClientOptions& options() const { return options_; }
  LookupWorker& worker() { return worker_; }
  size_t open_questions() const { return open_.size(); }

 private:
  struct Open {
    std::shared_ptr<LookupJob> job;  // null: answered without asking
    bool probe = false;
    bool settled = false;  // its outcome was told to the breaker
  };
  void settle(Open& open);
  void learn(LookupJob& job);  // every answer once; the job is decided

  const ClientOptions options_;
  const Clock& clock_;
  const ChunkKey root_;
  Breaker breaker_;
  SavedSet saved_;
  std::unordered_map<uint64_t, Open> open_;
  LookupCounters counters_;
  LookupWorker worker_;
  std::unique_ptr<LinkThread> thread_;  // last: it stops before anything it uses goes
};

}  // namespace shadowserve
