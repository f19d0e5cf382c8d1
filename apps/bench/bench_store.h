// The store that a bench runs over: a redis-server of its own, memory, or any address.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/relay_process.h"
#include "store/record_store.h"
#include "store/redis_process.h"

namespace shadowserve {

class BenchStore {
 public:
  /// "redis": starts a server, which ends with this process, whatever ends it; "memory": has room for
  /// `bytes`; anything else is an address. Throws StartError, also when there is no redis-server here.
  BenchStore(const std::string& choice, uint64_t bytes);

  /// Whether the rate of receiving can be limited.
  bool has_rates() const { return url_.starts_with("redis:"); }
  bool own_server() const { return server_ != nullptr; }
  /// For people.
  const std::string& name() const { return name_; }
  /// The backend that receives at most so many Gbit/s; 0 = no limit. `receive`: see ReceiveChoice. Throws
  /// StartError, also when this machine does not allow that way to receive.
  StoreBackend& at_rate(double gbit_per_s, const std::string& receive = "sockets");
  /// A client without a limit, with room for `depth` operations. Throws StartError.
  std::unique_ptr<RecordStore> client(const Clock& clock, uint32_t depth,
                                      const std::string& receive = "sockets");
  /// Keeps the server that was started here to these cores.
  void keep_server_to(const std::vector<int>& cores) const;

 private:
  std::string url_, name_;
  std::string relayed_url();

  std::unique_ptr<RedisProcess> server_;
  std::unique_ptr<RelayProcess> relay_;  // once somebody receives over UCX
  std::map<std::pair<double, std::string>, std::unique_ptr<StoreBackend>> backends_;
};

/// Keeps a thread (0: this one) to these cores.
void keep_to_cores(pid_t thread, const std::vector<int>& cores);

}  // namespace shadowserve
