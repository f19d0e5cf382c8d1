// Opens the store that an address names.
#include "store/memory_store.h"
#include "store/record_store.h"
#include "store/redis_store.h"
#include "store/rocksdb_store.h"
#include "store/store_url.h"

namespace shadowserve {

Result<std::unique_ptr<StoreBackend>> open_store(std::string_view url, std::string& message,
                                                 StreamMaker make_stream) {
  const Result<StoreUrl> address = parse_store_url(url, message);
  if (!address) return fail(address.error());
  switch (address->scheme) {
    case StoreUrl::Scheme::kMemory:
      return open_memory_store(address->limit_bytes, message);
    case StoreUrl::Scheme::kRocksdb: {
      RocksdbOptions options;
      options.path = address->path;
      options.evict_fifo = address->evict_fifo;
      if (address->limit_bytes != 0) options.limit_bytes = address->limit_bytes;
      return open_rocksdb_store(options, message);
    }
    case StoreUrl::Scheme::kRedis: {
      RedisOptions options;
      options.host = address->host;
      options.port = address->port;
      options.user = address->user;
      options.password = address->password;
      options.database = address->database;
      options.rate_bits_per_s = address->rate_bits_per_s;
      options.make_stream = std::move(make_stream);
      return open_redis_store(options, message);
    }
  }
  message = "the store address has a scheme without a store";
  return fail(Error::kConfig);
}

}  // namespace shadowserve
