// Contract of a record store client: asynchronous, bounded, deadlines on everything, one owning thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "chunk/chunk_key.h"
#include "contract/result.h"
#include "store/store_url.h"
#include "world/clock.h"
#include "world/stream.h"

namespace shadowserve {

/// What one operation ended with. `ticket` is the caller's.
struct StoreDone {
  uint64_t ticket = 0;
  Error error = Error::kNone;  ///< kMiss, kDeadline, kStoreDown, kStoreRefused, kNoCapacity (value too large)
  size_t bytes = 0;            ///< get: bytes received; put: bytes stored
};

/// What a store can do, told before it is used.
struct StoreTraits {
  std::string_view kind;  ///< "redis", "rocksdb", "memory"
  bool shared = false;    ///< other machines see the same records
  bool survives_restart = false;
};

/// A store client. Every call comes from one thread and returns at once; work happens in poll() or on threads
/// of the store library. After open(), calls allocate nothing on the caller's thread.
///
/// Every accepted operation completes exactly once, at the latest shortly after its deadline (absolute, on
/// the clock given at open). The memory of `into`, `from` belongs to the store until then - also after the
/// deadline: the completion is the promise that nobody touches it any more.
class RecordStore {
 public:
  virtual ~RecordStore() = default;
  virtual StoreTraits traits() const = 0;

  /// Receives the record's bytes straight into `into`. A value longer than `into` fails with kNoCapacity.
  /// Returns kNoCapacity when the client's queue is full: poll and try again.
  virtual Result<void> get(uint64_t ticket, const StoreKey& key, std::span<std::byte> into,
                           uint64_t deadline_ns) = 0;
  virtual Result<void> put(uint64_t ticket, const StoreKey& key, std::span<const std::byte> from,
                           uint64_t deadline_ns) = 0;
  /// kNone = it exists, kMiss = it does not. Calls between two polls travel as one batch.
  virtual Result<void> exists(uint64_t ticket, const StoreKey& key, uint64_t deadline_ns) = 0;

  /// Tells where most records will be received, for clients that can make use of it. At start; may block. The
  /// memory outlives the client.
  virtual void use_memory(std::span<std::byte>) {}

  /// Drives I/O and collects completions, oldest first; returns how many were written to `out`.
  virtual size_t poll(std::span<StoreDone> out) = 0;

  /// A descriptor that becomes readable (level-triggered) when poll() has something to do, for sleeping
  /// between requests; -1 when the caller has to call poll() periodically. Stays the same for life.
  virtual int wake_fd() const = 0;
  /// Operations accepted and not yet completed.
  virtual size_t in_flight() const = 0;
};

/// Opens one client of the store at `url`:
///   rocksdb:/path?limit=20GB&evict=lru|fifo redis://[user:pass@]host:port[,host:port...][/db]?rate=10gbit
///   memory:?limit=1GB
/// A backend (the database itself) is opened once and shared by its clients: make one StoreBackend per
/// process and a client per stage, so that lookups never wait behind bulk data.
class StoreBackend {
 public:
  virtual ~StoreBackend() = default;
  /// A client with room for `depth` operations in flight. `clock` must outlive it.
  virtual Result<std::unique_ptr<RecordStore>> client(const Clock& clock, uint32_t depth) = 0;
  /// Bytes and records held, where the backend knows; for stats. Any thread.
  struct Usage {
    uint64_t bytes = 0;
    uint64_t records = 0;
    uint64_t evicted = 0;
    uint64_t limit_bytes = 0;
  };
  virtual Usage usage() const = 0;
  /// The URL without its password, for people.
  virtual std::string describe() const = 0;
};

/// On failure `message` says in one sentence what is wrong and what to do (start-up error). A Redis that is
/// down at start is not an error: clients connect, and reconnect, by themselves. `make_stream`: for stores
/// across a network.
Result<std::unique_ptr<StoreBackend>> open_store(std::string_view url, std::string& message,
                                                 StreamMaker make_stream = {});
Result<std::unique_ptr<StoreBackend>> open_store(const StoreUrl& address, std::string& message,
                                                 StreamMaker make_stream = {});

}  // namespace shadowserve
