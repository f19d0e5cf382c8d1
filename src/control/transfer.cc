// Checks and bookkeeping on the engine's thread.
#include "control/transfer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "contract/check.h"
#include "control/engine_pages.h"
#include "control/fetch_job.h"
#include "control/save_job.h"

namespace shadowserve {

Transfer::Transfer(ClientOptions options, const Clock& clock, Thread thread)
    : options_(std::move(options)), clock_(clock), worker_(options_, clock_, counters_) {
  if (thread == Thread::kOwn) thread_ = std::make_unique<LinkThread>(worker_, clock_, options_.core);
}

Result<void> Transfer::register_pages(const ss_pages& pages, std::string& message) {
  if (pages.layer_base == nullptr) {
    message = "layer_base is missing: pass one pointer per layer";
    return fail(Error::kConfig);
  }
  if (pages.layers != options_.geometry().layers) {
    message = fmt::format("layer_base has {} pointers, but the options say {} layers", pages.layers,
                          options_.geometry().layers);
    return fail(Error::kConfig);
  }
  if (pages_ != nullptr) {
    message = "the pages are registered already: open another transfer for other pages";
    return fail(Error::kConfig);
  }
  auto mover = make_page_mover(pages, options_.geometry(), options_.staging_place(), message);
  if (!mover) return fail(mover.error());
  use_pages({options_.geometry(), pages.page_tokens, pages.pages}, std::move(*mover));
  return {};
}

void Transfer::use_pages(const PagedTokens& pages, std::unique_ptr<PageMover> mover) {
  SS_CHECK(pages_ == nullptr, "a transfer has one set of pages");
  mover_ = std::move(mover);
  worker_.use(*mover_);
  pages_ = std::make_shared<PagedTokens>(pages);
}

Result<void> Transfer::fence(void* cuda_stream) {
  fence_ = nullptr;  // if there can be none, nothing may touch the pages
  if (options_.device < 0) return fail(Error::kConfig);
  auto recorded = StreamFence::record(options_.device, cuda_stream);
  if (!recorded) return fail(recorded.error());
  fence_ = std::move(*recorded);
  return {};
}

bool Transfer::sane(ss_event_kind kind, const Ask& ask) const {
  if (pages_ == nullptr || ask.chunks == 0 || ask.keys == nullptr) return false;
  if (options_.device >= 0 && fence_ == nullptr) return false;
  if (uint64_t{ask.first_chunk} + ask.chunks > kLinkChunksMax) return false;
  const uint64_t each = pages_->pages_per_chunk();
  const uint64_t first = ask.first_chunk * each, end = (uint64_t{ask.first_chunk} + ask.chunks) * each;
  if (ask.page_ids.size() < end) return false;
  const uint64_t used = kind == SS_FETCHED ? ask.first_token / pages_->page_tokens : 0;
  for (uint64_t index = std::max(first, used); index < end; ++index) {
    if (ask.page_ids[index] < 0 || static_cast<uint32_t>(ask.page_ids[index]) >= pages_->pages) return false;
  }
  return true;
}

Result<void> Transfer::refuse(ss_event_kind kind, const Ask& ask, Error error) {
  auto& failed = kind == SS_FETCHED ? counters_.fetch_failed : counters_.save_failed;
  failed[static_cast<size_t>(error)].fetch_add(ask.chunks, std::memory_order_relaxed);
  refused_.push_back({static_cast<uint32_t>(kind), static_cast<ss_error>(error), ask.id, 0, ask.chunks});
  return fail(error);
}

Result<void> Transfer::start(ss_event_kind kind, const Ask& ask) {
  (kind == SS_FETCHED ? counters_.fetch_asked : counters_.save_asked)
      .fetch_add(ask.chunks, std::memory_order_relaxed);
  if (!sane(kind, ask)) return refuse(kind, ask, Error::kConfig);
  if (open_.size() >= TransferWorker::kJobsMax) return refuse(kind, ask, Error::kNoCapacity);

  JobOrder order;
  order.kind = kind;
  order.id = ask.id;
  order.serial = ++serial_;
  order.keys.resize(ask.chunks);
  std::memcpy(order.keys.data(), ask.keys, ask.chunks * sizeof(ChunkKey));
  if (options_.space.shard_count > 1) {
    for (ChunkKey& key : order.keys) key = shard_key(key, options_.space.shard);
  }
  order.first_chunk = ask.first_chunk;
  order.first_token = ask.first_token;
  const size_t each = pages_->pages_per_chunk();
  const auto ids = ask.page_ids.subspan(ask.first_chunk * each, ask.chunks * each);
  order.page_ids.assign(ids.begin(), ids.end());
  order.pages = pages_;
  order.after = fence_;
  order.asked_ns = clock_.now_ns();
  order.deadline_ns =
      order.asked_ns + (kind == SS_FETCHED ? options_.fetch_timeout_ns : options_.save_timeout_ns);

  std::shared_ptr<TransferJob> job;
  if (kind == SS_FETCHED) job = std::make_shared<FetchJob>(std::move(order));
  if (kind == SS_GATHERED) job = std::make_shared<SaveJob>(std::move(order));
  open_.emplace(ask.id, job);
  wake_if(worker_.hand_over(std::move(job)));
  return {};
}

void Transfer::cancel(uint64_t id) {
  const auto [begin, end] = open_.equal_range(id);
  if (begin == end) return;
  for (auto each = begin; each != end; ++each) each->second->withdraw();
  wake_if(worker_.nudge());
}

size_t Transfer::poll(std::span<ss_event> events) {
  size_t count = 0;
  for (; count < events.size() && !refused_.empty(); refused_.pop_front()) events[count++] = refused_.front();
  for (TransferEvent event; count < events.size() && worker_.take_event(event); ++count) {
    events[count] = event.event;
    const auto [begin, end] = open_.equal_range(event.event.id);
    for (auto each = begin; each != end; ++each) {
      if (each->second->order.serial != event.serial) continue;
      open_.erase(each);
      break;
    }
  }
  return count;
}

void Transfer::read_stats(ss_transfer_stats& out) const {
  const auto read = [](const auto& counter) { return counter.load(std::memory_order_relaxed); };
  const TransferCounters& from = counters_;
  out = {};
  out.fetch_asked = read(from.fetch_asked);
  out.fetch_placed = read(from.fetch_placed);
  out.save_asked = read(from.save_asked);
  out.save_stored = read(from.save_stored);
  static_assert(SS_ERROR_COUNT == kErrorCount);
  for (int error = 0; error < kErrorCount; ++error) {
    out.fetch_failed[error] = read(from.fetch_failed[error]);
    out.save_failed[error] = read(from.save_failed[error]);
  }
  out.fetch_wire_bytes = read(from.fetch_wire_bytes);
  out.fetch_value_bytes = read(from.fetch_value_bytes);
  out.save_wire_bytes = read(from.save_wire_bytes);
  out.save_value_bytes = read(from.save_value_bytes);
  out.fetches = read(from.fetches);
  out.fetch_us_total = read(from.fetch_us_total);
  out.place_us_total = read(from.place_us_total);
  out.gather_us_total = read(from.gather_us_total);
  out.connects = read(from.connects);
  out.disconnects = read(from.disconnects);
  out.connected = read(from.connected);
}

}  // namespace shadowserve
