// Requests wait for the wire; deadlines are kept as a real client keeps them.
#include "sim/nic/link_store.h"

#include <cstring>

namespace shadowserve::nic {

/// Every accepted operation completes once: when its record has come, or at its deadline, whichever is first.
/// What comes later was still on the wire and is dropped.
class LinkBackend::Client final : public RecordStore {
 public:
  Client(LinkBackend& backend, uint32_t depth) : backend_(backend), depth_(depth) {}
  StoreTraits traits() const override { return {.kind = "model", .shared = true}; }

  Result<void> get(uint64_t ticket, const StoreKey& key, std::span<std::byte> into,
                   uint64_t deadline_ns) override {
    return ask(ticket, key, into, deadline_ns, /*wants_bytes=*/true);
  }
  Result<void> exists(uint64_t ticket, const StoreKey& key, uint64_t deadline_ns) override {
    return ask(ticket, key, {}, deadline_ns, /*wants_bytes=*/false);
  }
  Result<void> put(uint64_t, const StoreKey&, std::span<const std::byte>, uint64_t) override {
    return fail(Error::kStoreRefused);
  }
  size_t poll(std::span<StoreDone> out) override {
    size_t count = 0;
    for (; count < out.size() && !done_.empty(); ++count) {
      out[count] = done_.front();
      done_.pop_front();
      --in_flight_;
    }
    return count;
  }
  int wake_fd() const override { return -1; }
  size_t in_flight() const override { return in_flight_; }

 private:
  struct Open {
    uint64_t ticket;
    std::span<std::byte> into;
  };
  Result<void> ask(uint64_t ticket, const StoreKey& key, std::span<std::byte> into, uint64_t deadline_ns,
                   bool wants_bytes) {
    if (in_flight_ == depth_) return fail(Error::kNoCapacity);
    ++in_flight_;
    const uint64_t number = numbers_++;
    open_[number] = {ticket, into};
    VirtualWorld& world = backend_.world_;
    if (deadline_ns < UINT64_MAX) {
      world.at(static_cast<double>(deadline_ns), [this, number] { end(number, Error::kDeadline, {}); });
    }
    const auto found = backend_.shelf_.find(key.view());
    const bool hit = found != backend_.shelf_.end();
    const std::span<const std::byte> record =
        hit && wants_bytes ? std::span(found->second) : std::span<const std::byte>();
    const auto bytes = static_cast<double>(record.size());
    Work work;
    if (backend_.link_.gbit_per_s > 0) {
      work = {bytes * 8 / backend_.link_.gbit_per_s, bytes * backend_.link_.memory_bytes};
    }
    backend_.wire_.submit(work, [this, number, hit, record] {
      backend_.came_bytes_ += record.size();
      end(number, hit ? Error::kNone : Error::kMiss, record);
    });
    return {};
  }
  void end(uint64_t number, Error error, std::span<const std::byte> record) {
    const auto found = open_.find(number);
    if (found == open_.end()) return;
    StoreDone done{found->second.ticket, error, 0};
    if (record.size() > found->second.into.size()) {
      done.error = Error::kNoCapacity;
    } else if (error == Error::kNone && !record.empty()) {
      std::memcpy(found->second.into.data(), record.data(), record.size());
      done.bytes = record.size();
    }
    open_.erase(found);
    done_.push_back(done);
    backend_.arrived_();
  }

  LinkBackend& backend_;
  size_t depth_;
  size_t in_flight_ = 0;
  uint64_t numbers_ = 0;
  std::map<uint64_t, Open> open_;
  std::deque<StoreDone> done_;
};

Result<std::unique_ptr<RecordStore>> LinkBackend::client(const Clock&, uint32_t depth) {
  return std::make_unique<Client>(*this, depth);
}

}  // namespace shadowserve::nic
