// Draws a fate for every operation and holds completions back.
#include "store/faulty_store.h"

#include <algorithm>
#include <array>
#include <random>
#include <vector>

namespace shadowserve {
namespace {

class FaultyStore final : public RecordStore {
 public:
  FaultyStore(std::unique_ptr<RecordStore> inner, const Clock& clock, uint32_t depth,
              const StoreFaults& faults, StoreFaultCounts* counts)
      : inner_(std::move(inner)),
        clock_(clock),
        faults_(faults),
        counts_(counts != nullptr ? *counts : own_counts_),
        random_(faults.seed),
        operations_(depth),
        collected_(depth) {}

  StoreTraits traits() const override { return inner_->traits(); }
  Result<void> get(uint64_t ticket, const StoreKey& key, std::span<std::byte> into,
                   uint64_t deadline_ns) override {
    return submit(Kind::kGet, ticket, key, into, {}, deadline_ns);
  }
  Result<void> put(uint64_t ticket, const StoreKey& key, std::span<const std::byte> from,
                   uint64_t deadline_ns) override {
    return submit(Kind::kPut, ticket, key, {}, from, deadline_ns);
  }
  Result<void> exists(uint64_t ticket, const StoreKey& key, uint64_t deadline_ns) override {
    return submit(Kind::kExists, ticket, key, {}, {}, deadline_ns);
  }
  size_t poll(std::span<StoreDone> out) override;
  int wake_fd() const override { return -1; }
  size_t in_flight() const override { return in_flight_; }

 private:
  enum class Kind : uint8_t { kGet, kPut, kExists };
  enum class Harm : uint8_t { kNone, kFlip, kTruncate };
  struct Operation {
    bool used = false, answered = false;
    Harm harm = Harm::kNone;
    StoreDone done{};
    std::span<std::byte> into{};
    uint64_t deadline_ns = 0;
    uint64_t hold_until_ns = 0;
  };
  bool draw(double chance, uint64_t& count);
  Result<void> submit(Kind kind, uint64_t ticket, const StoreKey& key, std::span<std::byte> into,
                      std::span<const std::byte> from, uint64_t deadline_ns);
  void harm(Operation& operation);

  std::unique_ptr<RecordStore> inner_;
  const Clock& clock_;
  const StoreFaults faults_;
  StoreFaultCounts own_counts_;
  StoreFaultCounts& counts_;
  std::mt19937_64 random_;
  std::vector<Operation> operations_;
  std::vector<StoreDone> collected_;
  std::array<StoreKey, 16> recent_;
  uint64_t recent_count_ = 0;
  size_t in_flight_ = 0;
};

bool FaultyStore::draw(double chance, uint64_t& count) {
  // Drawn even when the chance is 0, so that one fault switched off does not move the others.
  const bool hit = std::uniform_real_distribution<double>(0, 1)(random_) < chance;
  count += hit ? 1 : 0;
  return hit;
}

Result<void> FaultyStore::submit(Kind kind, uint64_t ticket, const StoreKey& key, std::span<std::byte> into,
                                 std::span<const std::byte> from, uint64_t deadline_ns) {
  if (in_flight_ == operations_.size()) return fail(Error::kNoCapacity);
  size_t slot = 0;
  while (operations_[slot].used) ++slot;
  Operation operation{.used = true, .into = into, .deadline_ns = deadline_ns};
  operation.done.ticket = ticket;
  StoreKey asked = key;
  const auto answer = [&](Error error, uint64_t hold_until_ns) {
    operation.answered = true;
    operation.done.error = error;
    operation.hold_until_ns = hold_until_ns;
  };
  if (draw(faults_.stuck, counts_.stuck)) {
    answer(Error::kDeadline, deadline_ns);
  } else if (draw(faults_.down, counts_.down)) {
    answer(Error::kStoreDown, 0);
  } else if (draw(faults_.refused, counts_.refused)) {
    answer(Error::kStoreRefused, 0);
  } else if (kind != Kind::kPut && draw(faults_.miss, counts_.miss)) {
    answer(Error::kMiss, 0);
  } else {
    if (draw(faults_.late, counts_.late)) {
      const uint64_t delay_ns = std::uniform_int_distribution<uint64_t>(0, faults_.delay_ns_max)(random_);
      operation.hold_until_ns = std::min(clock_.now_ns() + delay_ns, deadline_ns);
    }
    if (kind == Kind::kGet) {
      const StoreKey& other = recent_[random_() % recent_.size()];
      if (recent_count_ >= recent_.size() && other.view() != key.view() &&
          draw(faults_.wrong_value, counts_.wrong_value)) {
        asked = other;
      }
      if (draw(faults_.flipped, counts_.flipped)) {
        operation.harm = Harm::kFlip;
      } else if (draw(faults_.truncated, counts_.truncated)) {
        operation.harm = Harm::kTruncate;
      }
      recent_[recent_count_++ % recent_.size()] = key;
    }
    const Result<void> accepted = kind == Kind::kGet   ? inner_->get(slot, asked, into, deadline_ns)
                                  : kind == Kind::kPut ? inner_->put(slot, asked, from, deadline_ns)
                                                       : inner_->exists(slot, asked, deadline_ns);
    if (!accepted) return accepted;
  }
  operations_[slot] = operation;
  ++in_flight_;
  return {};
}

void FaultyStore::harm(Operation& operation) {
  StoreDone& done = operation.done;
  if (done.error != Error::kNone || done.bytes == 0) return;
  const size_t position = random_() % done.bytes;
  if (operation.harm == Harm::kFlip) operation.into[position] ^= std::byte(1u << (random_() % 8));
  if (operation.harm == Harm::kTruncate) done.bytes = position;
}

size_t FaultyStore::poll(std::span<StoreDone> out) {
  const size_t count = inner_->poll(collected_);
  for (size_t i = 0; i < count; ++i) {
    Operation& operation = operations_[collected_[i].ticket];
    const uint64_t ticket = operation.done.ticket;
    operation.done = collected_[i];
    operation.done.ticket = ticket;
    operation.answered = true;
    harm(operation);
  }
  const uint64_t now_ns = clock_.now_ns();
  size_t written = 0;
  for (Operation& operation : operations_) {
    if (written == out.size()) break;
    if (!operation.used || !operation.answered || operation.hold_until_ns > now_ns) continue;
    out[written++] = operation.done;
    operation.used = false;
    --in_flight_;
  }
  return written;
}

class FaultyBackend final : public StoreBackend {
 public:
  FaultyBackend(std::unique_ptr<StoreBackend> inner, const StoreFaults& faults, StoreFaultCounts* counts)
      : inner_(std::move(inner)), faults_(faults), counts_(counts) {}
  Result<std::unique_ptr<RecordStore>> client(const Clock& clock, uint32_t depth) override {
    auto inner = inner_->client(clock, depth);
    if (!inner) return inner;
    StoreFaults faults = faults_;
    faults.seed += clients_++;
    return make_faulty_store(std::move(*inner), clock, depth, faults, counts_);
  }
  Usage usage() const override { return inner_->usage(); }
  std::string describe() const override { return "faulty " + inner_->describe(); }

 private:
  std::unique_ptr<StoreBackend> inner_;
  StoreFaults faults_;
  StoreFaultCounts* counts_;
  uint64_t clients_ = 0;
};

}  // namespace

std::unique_ptr<RecordStore> make_faulty_store(std::unique_ptr<RecordStore> inner, const Clock& clock,
                                               uint32_t depth, const StoreFaults& faults,
                                               StoreFaultCounts* counts) {
  return std::make_unique<FaultyStore>(std::move(inner), clock, depth, faults, counts);
}

std::unique_ptr<StoreBackend> make_faulty_backend(std::unique_ptr<StoreBackend> inner,
                                                  const StoreFaults& faults, StoreFaultCounts* counts) {
  return std::make_unique<FaultyBackend>(std::move(inner), faults, counts);
}

}  // namespace shadowserve
