// Opens the store that an address names.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "store/many_servers.h"
#include "store/memory_store.h"
#include "store/record_store.h"
#include "store/redis_store.h"
#include "store/rocksdb_store.h"
#include "store/store_url.h"

namespace shadowserve {
namespace {

/// "redis://one:6379,other:6379/0?rate=10gbit": without the login.
std::string description_of(const StoreUrl& address) {
  std::vector<std::string> names;
  for (const StoreServer& server : address.servers) names.push_back(server.name());
  const std::string rate =
      address.rate_bits_per_s == 0 ? "" : "?rate=" + format_bit_rate(address.rate_bits_per_s);
  return fmt::format("redis://{}/{}{}", fmt::join(names, ","), address.database, rate);
}

Result<std::unique_ptr<StoreBackend>> open_redis_servers(const StoreUrl& address, std::string& message,
                                                         StreamMaker make_stream) {
  RedisOptions options;
  options.user = address.user;
  options.password = address.password;
  options.database = address.database;
  options.make_stream = std::move(make_stream);
  // One link leads to all of them.
  if (address.rate_bits_per_s != 0) options.bucket = std::make_shared<RateBucket>(address.rate_bits_per_s);
  std::vector<NamedBackend> servers;
  for (const StoreServer& server : address.servers) {
    options.host = server.host;
    options.port = server.port;
    auto backend = open_redis_store(options, message);
    if (!backend) return backend;
    servers.push_back({server.name(), std::move(*backend)});
  }
  if (servers.size() == 1) return std::move(servers.front().backend);
  return make_many_servers(std::move(servers), description_of(address));
}

}  // namespace

Result<std::unique_ptr<StoreBackend>> open_store(const StoreUrl& address, std::string& message,
                                                 StreamMaker make_stream) {
  switch (address.scheme) {
    case StoreUrl::Scheme::kMemory:
      return open_memory_store(address.limit_bytes, message);
    case StoreUrl::Scheme::kRocksdb: {
      RocksdbOptions options;
      options.path = address.path;
      options.evict_fifo = address.evict_fifo;
      if (address.limit_bytes != 0) options.limit_bytes = address.limit_bytes;
      return open_rocksdb_store(options, message);
    }
    case StoreUrl::Scheme::kRedis:
      return open_redis_servers(address, message, std::move(make_stream));
  }
  message = "the store address has a scheme without a store";
  return fail(Error::kConfig);
}

Result<std::unique_ptr<StoreBackend>> open_store(std::string_view url, std::string& message,
                                                 StreamMaker make_stream) {
  const Result<StoreUrl> address = parse_store_url(url, message);
  if (!address) return fail(address.error());
  return open_store(*address, message, std::move(make_stream));
}

}  // namespace shadowserve
