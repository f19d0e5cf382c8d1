// Looks runs up shard by shard.
#include "sim/fleet/fleet_store.h"

#include <algorithm>

namespace shadowserve::fleet {

FleetStore::FleetStore(const FleetOptions& options)
    : map_(std::max(1u, options.shard_count())),
      chunk_bytes_(static_cast<uint64_t>(options.chunk_bytes())),
      chunk_service_ns_(1e9 * options.model.requests_per_chunk / options.store.shard_requests_per_s) {
  const double bytes_per_s = options.store.shard_gbit * 1e9 / 8;
  const auto capacity =
      static_cast<uint64_t>(options.store.shard_gb * 1e9 / static_cast<double>(chunk_bytes_));
  shards_.resize(options.shard_count());
  for (Shard& shard : shards_) {
    shard.cache.set_capacity(capacity);
    shard.out = FifoLink(bytes_per_s);
    shard.in = FifoLink(bytes_per_s);
  }
}

void FleetStore::warm_up(const Prompt& prompt, uint32_t from, uint32_t to) const {
  const auto each = [&](const auto& warm) {
    for (uint32_t index = 0;; ++index) {
      const Run run = prompt.run(index, to);
      if (run.chunks == 0) return;
      if (run.first + run.chunks > from) warm(shards_[shard_of(run.key)].cache, run.key);
    }
  };
  each([](const RunCache& cache, uint64_t key) { cache.prefetch_place(key); });
  each([](const RunCache& cache, uint64_t key) { cache.prefetch_run(key); });
}

FleetStore::Match FleetStore::match(const Prompt& prompt, int64_t now_ns) {
  Match found;
  const uint32_t usable = prompt.usable_chunks();
  warm_up(prompt, 0, usable);
  for (uint32_t index = 0;; ++index) {
    const Run run = prompt.run(index, usable);
    if (run.chunks == 0) return found;
    Shard& shard = shards_[shard_of(run.key)];
    if (shard.down) {
      found.unanswered = now_ns - shard.down_since_ns < kNoticeNs;
      return found;
    }
    const uint32_t held = std::min(shard.cache.use(run.key, now_ns), run.chunks);
    if (held == 0) return found;
    found.chunks += held;
    if (held < run.chunks) return found;
  }
}

int64_t FleetStore::send(const Prompt& prompt, uint32_t from, uint32_t to, int64_t now_ns) {
  int64_t done_ns = now_ns;
  for (uint32_t index = 0;; ++index) {
    const Run run = prompt.run(index, to);
    if (run.chunks == 0) return done_ns;
    const uint32_t end = run.first + run.chunks;
    if (end <= from) continue;
    const uint32_t chunks = end - std::max(run.first, from);
    FifoLink& out = shards_[shard_of(run.key)].out;
    done_ns = std::max(done_ns, out.serve(now_ns, chunks * chunk_bytes_, service_ns(chunks)));
  }
}

void FleetStore::fail(uint32_t index, int64_t now_ns, bool loses_data) {
  Shard& shard = shards_[index];
  shard.down = true;
  shard.down_since_ns = now_ns;
  shard.out.reset(now_ns);
  shard.in.reset(now_ns);
  if (loses_data) shard.cache.clear();
}

}  // namespace shadowserve::fleet
