// The record store behind any RESP server: Redis, Valkey, KeyDB, Dragonfly.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "store/record_store.h"
#include "world/stream_throttled.h"

namespace shadowserve {

struct RedisOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 6379;
  std::string user;      ///< empty: the server's default user
  std::string password;  ///< empty: no AUTH is sent
  uint32_t database = 0;
  std::shared_ptr<RateBucket>
      bucket;  ///< all clients of all stores that share it receive no faster; null: no limit
  uint64_t connect_ns_max = 1'000'000'000;  ///< until a new connection has answered the greeting
  /// No byte for this long while an answer is overdue means that the server is gone, though TCP does not
  /// know.
  uint64_t silence_ns_max = 1'000'000'000;
  StreamMaker make_stream;  ///< empty: TCP
};

/// Looks the host up (blocks); does not connect. kConfig when there is no such host.
///
/// Each client has one connection, pipelined, and connects by itself: while the first attempt lasts
/// operations wait for it, afterwards they complete with kStoreDown at once whenever there is no connection
/// (kStoreRefused when the server rejects the login). Only kNoCapacity is ever returned directly.
Result<std::unique_ptr<StoreBackend>> open_redis_store(const RedisOptions& options, std::string& message);

}  // namespace shadowserve
