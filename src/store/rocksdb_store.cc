// Clients of the embedded store: they hand operations to its threads and keep the deadlines.
#include "store/rocksdb_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "contract/check.h"
#include "contract/limits.h"
#include "store/rocksdb_core.h"
#include "store/store_url.h"
#include "store/store_wake.h"

namespace shadowserve {
namespace {

class RocksdbStore final : public RecordStore {
 public:
  RocksdbStore(std::shared_ptr<RocksdbCore> core, const Clock& clock, uint32_t depth);
  ~RocksdbStore() override;

  StoreTraits traits() const override {
    return {.kind = "rocksdb", .shared = false, .survives_restart = true};
  }
  Result<void> get(uint64_t ticket, const StoreKey& key, std::span<std::byte> into,
                   uint64_t deadline_ns) override;
  Result<void> put(uint64_t ticket, const StoreKey& key, std::span<const std::byte> from,
                   uint64_t deadline_ns) override;
  Result<void> exists(uint64_t ticket, const StoreKey& key, uint64_t deadline_ns) override;
  size_t poll(std::span<StoreDone> out) override;
  int wake_fd() const override { return wake_.fd(); }
  size_t in_flight() const override { return in_flight_; }

 private:
  struct Question {
    StoreKey key;
    uint64_t ticket = 0;
    uint64_t deadline_ns = 0;
  };
  Result<void> hand_over(uint32_t thread, uint64_t ticket, const StoreKey& key, uint64_t deadline_ns,
                         std::span<std::byte> into, std::span<const std::byte> from);
  void complete(uint64_t ticket, Error error, size_t bytes = 0);
  void collect();
  void answer_questions(uint64_t now_ns);
  void expire(uint64_t now_ns);

  std::shared_ptr<RocksdbCore> core_;
  std::shared_ptr<RocksdbChannel> channel_;
  const Clock& clock_;
  StoreWake wake_;
  std::vector<uint32_t> free_;  // slots of the channel
  size_t slots_out_ = 0;
  uint32_t next_reader_ = 0;
  uint64_t check_ns_ = StoreWake::kNever;  // no deadline lies before this
  std::vector<Question> questions_;        // ring: exists, waiting for poll
  uint64_t question_first_ = 0, question_last_ = 0;
  std::vector<StoreDone> done_;  // ring
  uint64_t done_first_ = 0, done_last_ = 0;
  size_t depth_, in_flight_ = 0;
};

RocksdbStore::RocksdbStore(std::shared_ptr<RocksdbCore> core, const Clock& clock, uint32_t depth)
    : core_(std::move(core)),
      channel_(std::make_shared<RocksdbChannel>(clock, depth, core_->thread_count())),
      clock_(clock),
      questions_(depth),
      done_(depth),
      depth_(depth) {
  for (uint32_t slot = 0; slot < channel_->operations.size(); ++slot) free_.push_back(slot);
  wake_.watch(channel_->doorbell, false);
  core_->attach(channel_);
  for (uint32_t i = 0; i < core_->thread_count(); ++i) core_->ring(i);
}

RocksdbStore::~RocksdbStore() {
  // Memory of unfinished operations belongs to the caller again when this returns.
  channel_->closing.store(true);
  while (slots_out_ > 0) {
    collect();
    if (slots_out_ > 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  core_->detach(channel_.get());
  for (uint32_t i = 0; i < core_->thread_count(); ++i) core_->ring(i);
}

Result<void> RocksdbStore::hand_over(uint32_t thread, uint64_t ticket, const StoreKey& key,
                                     uint64_t deadline_ns, std::span<std::byte> into,
                                     std::span<const std::byte> from) {
  if (in_flight_ == depth_ || free_.empty()) return fail(Error::kNoCapacity);
  const uint32_t slot = free_.back();
  free_.pop_back();
  ++slots_out_;
  ++in_flight_;
  RocksdbOperation& operation = channel_->operations[slot];
  operation.kind = thread == core_->writer() ? RocksdbOperation::Kind::kPut : RocksdbOperation::Kind::kGet;
  operation.key = key;
  operation.into = into;
  operation.from = from;
  operation.ticket = ticket;
  operation.deadline_ns = deadline_ns;
  operation.open = true;
  operation.hold.store(Hold::kNobody, std::memory_order_relaxed);
  SpscRing<uint32_t>& ring = channel_->lanes[thread].requests->ring;
  SS_CHECK(ring.push(slot), "a ring has room for every operation");
  if (ring.must_ring()) core_->ring(thread);
  if (deadline_ns < check_ns_) {
    check_ns_ = deadline_ns;
    wake_.set_timer(clock_.now_ns(), check_ns_);
  }
  return {};
}

Result<void> RocksdbStore::get(uint64_t ticket, const StoreKey& key, std::span<std::byte> into,
                               uint64_t deadline_ns) {
  next_reader_ = (next_reader_ + 1) % core_->writer();
  return hand_over(next_reader_, ticket, key, deadline_ns, into, {});
}

Result<void> RocksdbStore::put(uint64_t ticket, const StoreKey& key, std::span<const std::byte> from,
                               uint64_t deadline_ns) {
  if (from.size() <= kRecordBytesMax) return hand_over(core_->writer(), ticket, key, deadline_ns, {}, from);
  if (in_flight_ == depth_) return fail(Error::kNoCapacity);
  ++in_flight_;
  complete(ticket, Error::kNoCapacity);
  wake_.wake_now();
  return {};
}

Result<void> RocksdbStore::exists(uint64_t ticket, const StoreKey& key, uint64_t deadline_ns) {
  if (in_flight_ == depth_) return fail(Error::kNoCapacity);
  ++in_flight_;
  questions_[question_last_++ % depth_] = {key, ticket, deadline_ns};
  wake_.wake_now();
  return {};
}

void RocksdbStore::complete(uint64_t ticket, Error error, size_t bytes) {
  done_[done_last_++ % depth_] = {.ticket = ticket, .error = error, .bytes = bytes};
}

void RocksdbStore::collect() {
  channel_->clear_doorbell();
  for (RocksdbChannel::Lane& lane : channel_->lanes) {
    uint32_t slot = 0;
    while (lane.replies->ring.pop(slot)) {
      RocksdbOperation& operation = channel_->operations[slot];
      if (operation.open) complete(operation.ticket, operation.error, operation.bytes);
      operation.open = false;
      free_.push_back(slot);
      --slots_out_;
    }
  }
}

void RocksdbStore::answer_questions(uint64_t now_ns) {
  for (; question_first_ != question_last_; ++question_first_) {
    const Question& question = questions_[question_first_ % depth_];
    const std::optional<bool> there = core_->directory().try_contains(question.key.view());
    if (there) {
      complete(question.ticket, *there ? Error::kNone : Error::kMiss);
    } else if (now_ns >= question.deadline_ns) {
      complete(question.ticket, Error::kDeadline);
    } else {
      return;  // a store thread holds the lock for a moment; the next poll asks again
    }
  }
}

void RocksdbStore::expire(uint64_t now_ns) {
  check_ns_ = StoreWake::kNever;
  for (RocksdbOperation& operation : channel_->operations) {
    if (!operation.open) continue;
    if (operation.deadline_ns > now_ns) {
      check_ns_ = std::min(check_ns_, operation.deadline_ns);
    } else if (operation.abandon()) {
      operation.open = false;
      complete(operation.ticket, Error::kDeadline);
    } else {
      check_ns_ = now_ns;  // being copied: it will be done in a moment
    }
  }
}

size_t RocksdbStore::poll(std::span<StoreDone> out) {
  const uint64_t now_ns = clock_.now_ns();
  collect();
  answer_questions(now_ns);
  if (now_ns >= check_ns_) expire(now_ns);
  size_t written = 0;
  for (; written < out.size() && done_first_ != done_last_; ++done_first_, --in_flight_) {
    out[written++] = done_[done_first_ % depth_];
  }
  const bool more = done_first_ != done_last_ || question_first_ != question_last_;
  wake_.set_timer(now_ns, more ? now_ns : check_ns_);
  return written;
}

class RocksdbBackend final : public StoreBackend {
 public:
  explicit RocksdbBackend(std::shared_ptr<RocksdbCore> core) : core_(std::move(core)) {}
  Result<std::unique_ptr<RecordStore>> client(const Clock& clock, uint32_t depth) override {
    return std::make_unique<RocksdbStore>(core_, clock, depth);
  }
  Usage usage() const override {
    const RecordDirectory::Usage usage = core_->directory().usage();
    return {usage.bytes, usage.records, usage.evicted, core_->options().limit_bytes};
  }
  std::string describe() const override {
    return fmt::format("rocksdb:{}?limit={}&evict={}", core_->options().path, core_->options().limit_bytes,
                       core_->options().evict_fifo ? "fifo" : "lru");
  }

 private:
  std::shared_ptr<RocksdbCore> core_;
};

}  // namespace

Result<std::unique_ptr<StoreBackend>> open_rocksdb_store(const RocksdbOptions& options,
                                                         std::string& message) {
  auto core = RocksdbCore::open(options, message);
  if (!core) return fail(core.error());
  return std::make_unique<RocksdbBackend>(std::move(*core));
}

}  // namespace shadowserve
