// Test support: drives a store client synchronously, with keys and values that can be told apart.
#pragma once

#include <poll.h>

#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/record_store.h"

namespace shadowserve {

/// The key numbered `number`.
inline StoreKey trial_key(uint64_t number, uint32_t part = 0) {
  ChunkKey key{};
  std::memcpy(key.data(), &number, sizeof(number));
  return StoreKey(key, part);
}

/// `bytes` bytes that belong to `number` and to no other.
inline std::vector<std::byte> trial_value(uint64_t number, size_t bytes) {
  std::vector<std::byte> out(bytes);
  uint64_t state = number * 0x9e3779b97f4a7c15u + bytes;
  for (size_t i = 0; i < bytes; i += sizeof(state)) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    std::memcpy(out.data() + i, &state, std::min(sizeof(state), bytes - i));
  }
  return out;
}

/// One thread's view of a client.
class StoreTrial {
 public:
  static constexpr uint64_t kPatienceNs = 5'000'000'000;

  explicit StoreTrial(std::unique_ptr<RecordStore> store) : store_(std::move(store)) {}
  RecordStore& store() { return *store_; }
  void close() { store_.reset(); }
  uint64_t in(uint64_t ns) const { return clock_.now_ns() + ns; }
  static const Clock& clock() {
    static const MonotonicClock real;
    return real;
  }

  Error put(uint64_t number, std::span<const std::byte> value, uint64_t patience_ns = kPatienceNs) {
    return run([&](uint64_t ticket) {
             return store_->put(ticket, trial_key(number), value, in(patience_ns));
           })
        .error;
  }
  Error put(uint64_t number, size_t bytes) { return put(number, trial_value(number, bytes)); }
  StoreDone get(uint64_t number, std::span<std::byte> into, uint64_t patience_ns = kPatienceNs) {
    return run(
        [&](uint64_t ticket) { return store_->get(ticket, trial_key(number), into, in(patience_ns)); });
  }
  /// The value, when the get succeeded.
  std::optional<std::vector<std::byte>> get(uint64_t number, size_t room = 2u << 20) {
    std::vector<std::byte> into(room);
    const StoreDone done = get(number, into, kPatienceNs);
    if (done.error != Error::kNone) return std::nullopt;
    into.resize(done.bytes);
    return into;
  }
  Error exists(uint64_t number, uint64_t patience_ns = kPatienceNs) {
    return run([&](uint64_t ticket) { return store_->exists(ticket, trial_key(number), in(patience_ns)); })
        .error;
  }
  /// Submits, then sleeps on the wake descriptor until the completion came. kSystem: it never came.
  StoreDone run(const std::function<Result<void>(uint64_t)>& submit) {
    const uint64_t ticket = ++ticket_;
    const Result<void> accepted = submit(ticket);
    if (!accepted) return {.ticket = ticket, .error = accepted.error()};
    return wait(ticket);
  }
  StoreDone wait(uint64_t ticket, uint64_t patience_ns = 2 * kPatienceNs) {
    const uint64_t end_ns = in(patience_ns);
    while (!done_.contains(ticket) && clock_.now_ns() < end_ns) collect(50);
    const auto found = done_.find(ticket);
    if (found == done_.end()) return {.ticket = ticket, .error = Error::kSystem};
    const StoreDone done = found->second;
    done_.erase(found);
    return done;
  }
  /// Sleeps for at most this long until there is something, then polls once.
  void collect(int sleep_ms) {
    pollfd entry{.fd = store_->wake_fd(), .events = POLLIN, .revents = 0};
    ::poll(&entry, 1, sleep_ms);
    StoreDone out[64];
    const size_t count = store_->poll(out);
    for (size_t i = 0; i < count; ++i) {
      if (!done_.emplace(out[i].ticket, out[i]).second) ++twice_;
    }
  }
  uint64_t next_ticket() { return ++ticket_; }
  /// Completions told more than once.
  size_t twice() const { return twice_; }
  std::unordered_map<uint64_t, StoreDone>& done() { return done_; }

 private:
  MonotonicClock clock_;
  std::unique_ptr<RecordStore> store_;
  std::unordered_map<uint64_t, StoreDone> done_;
  uint64_t ticket_ = 0;
  size_t twice_ = 0;
};

}  // namespace shadowserve
