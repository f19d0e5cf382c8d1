// Clients that queue operations and carry them out on the shelf at poll().
#include "store/memory_store.h"

#include <fmt/format.h>

#include <vector>

#include "contract/limits.h"
#include "store/block_shelf.h"
#include "store/store_url.h"
#include "store/store_wake.h"

namespace shadowserve {
namespace {

class MemoryStore final : public RecordStore {
 public:
  MemoryStore(std::shared_ptr<BlockShelf> shelf, const Clock& clock, uint32_t depth)
      : shelf_(std::move(shelf)), clock_(clock), operations_(depth) {}

  StoreTraits traits() const override { return {.kind = "memory"}; }
  Result<void> get(uint64_t ticket, const StoreKey& key, std::span<std::byte> into,
                   uint64_t deadline_ns) override {
    return queue({Kind::kGet, ticket, key, into, {}, deadline_ns});
  }
  Result<void> put(uint64_t ticket, const StoreKey& key, std::span<const std::byte> from,
                   uint64_t deadline_ns) override {
    return queue({Kind::kPut, ticket, key, {}, from, deadline_ns});
  }
  Result<void> exists(uint64_t ticket, const StoreKey& key, uint64_t deadline_ns) override {
    return queue({Kind::kExists, ticket, key, {}, {}, deadline_ns});
  }
  size_t poll(std::span<StoreDone> out) override;
  int wake_fd() const override { return wake_.fd(); }
  size_t in_flight() const override { return count_; }

 private:
  enum class Kind : uint8_t { kGet, kPut, kExists };
  struct Operation {
    Kind kind = Kind::kGet;
    uint64_t ticket = 0;
    StoreKey key;
    std::span<std::byte> into;
    std::span<const std::byte> from;
    uint64_t deadline_ns = 0;
  };
  Result<void> queue(const Operation& operation);
  StoreDone carry_out(const Operation& operation);

  std::shared_ptr<BlockShelf> shelf_;
  const Clock& clock_;
  std::vector<Operation> operations_;  // a ring of fixed size
  size_t first_ = 0, count_ = 0;
  StoreWake wake_;
};

Result<void> MemoryStore::queue(const Operation& operation) {
  if (count_ == operations_.size()) return fail(Error::kNoCapacity);
  operations_[(first_ + count_++) % operations_.size()] = operation;
  wake_.wake_now();
  return {};
}

StoreDone MemoryStore::carry_out(const Operation& operation) {
  StoreDone done{.ticket = operation.ticket};
  if (clock_.now_ns() > operation.deadline_ns) {
    done.error = Error::kDeadline;
  } else if (operation.kind == Kind::kExists) {
    done.error = shelf_->contains(operation.key.view()) ? Error::kNone : Error::kMiss;
  } else if (operation.kind == Kind::kGet) {
    const Result<size_t> bytes = shelf_->get(operation.key.view(), operation.into);
    done.error = bytes ? Error::kNone : bytes.error();
    done.bytes = bytes.value_or(0);
  } else if (operation.from.size() > kRecordBytesMax) {
    done.error = Error::kNoCapacity;
  } else {
    const Result<void> stored = shelf_->put(operation.key.view(), operation.from);
    done.error = stored ? Error::kNone : stored.error();
    done.bytes = stored ? operation.from.size() : 0;
  }
  return done;
}

size_t MemoryStore::poll(std::span<StoreDone> out) {
  size_t written = 0;
  while (written < out.size() && count_ > 0) {
    out[written++] = carry_out(operations_[first_]);
    first_ = (first_ + 1) % operations_.size();
    --count_;
  }
  if (written > 0) {
    const uint64_t now_ns = clock_.now_ns();
    wake_.set_timer(now_ns, count_ > 0 ? now_ns : StoreWake::kNever);
  }
  return written;
}

class MemoryBackend final : public StoreBackend {
 public:
  explicit MemoryBackend(std::shared_ptr<BlockShelf> shelf) : shelf_(std::move(shelf)) {}
  Result<std::unique_ptr<RecordStore>> client(const Clock& clock, uint32_t depth) override {
    return std::make_unique<MemoryStore>(shelf_, clock, depth);
  }
  Usage usage() const override {
    const BlockShelf::Usage usage = shelf_->usage();
    return {usage.bytes, usage.records, usage.evicted, usage.limit_bytes};
  }
  std::string describe() const override {
    return fmt::format("memory:?limit={}", shelf_->usage().limit_bytes);
  }

 private:
  std::shared_ptr<BlockShelf> shelf_;
};

}  // namespace

Result<std::unique_ptr<StoreBackend>> open_memory_store(uint64_t limit_bytes, std::string& message) {
  if (limit_bytes == 0) limit_bytes = kMemoryLimitDefault;
  auto shelf = std::make_shared<BlockShelf>();
  if (const Result<void> opened = shelf->open(limit_bytes); !opened) {
    message = fmt::format("no address space for memory:?limit={}; use a smaller limit",
                          format_byte_size(limit_bytes));
    return fail(opened.error());
  }
  return std::make_unique<MemoryBackend>(std::move(shelf));
}

}  // namespace shadowserve
