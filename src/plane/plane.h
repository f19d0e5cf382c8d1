// The data plane: slots, stages and threads put together, and the sessions it serves.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "contract/result.h"
#include "wire/network/tls_identity.h"

namespace shadowserve {

struct PlaneOptions {
  std::string store_url;  ///< see store/record_store.h
  std::string
      socket_path;  ///< Unix socket of the link; "<path>.stats" serves one JSON document per connection
  std::vector<int>
      cores;  ///< threads are pinned to these, the first does the I/O; empty: one unpinned thread
  uint32_t fetch_slots = 16;  ///< records in flight towards engines, about 6 MiB of pinned memory each
  uint32_t save_slots = 6;    ///< records in flight towards the store
  uint32_t spin_us = 30;      ///< how long an idle thread looks for work before it sleeps
  bool pin_memory = true;     ///< lock slots and staging into memory (needs RLIMIT_MEMLOCK)
  std::string listen;         ///< tls://HOST:PORT for engines on other machines as well; empty: none
  TlsFiles tls;               ///< the plane's, for `listen`
  std::string window_path;  ///< Unix socket on which such engines announce their staging memory; empty: none
  bool separate_stages = false;     ///< decompress, dequantize, deliver apart, instead of in one pass
  std::string engines = "host";     ///< who inflates and copies: see PipelineOptions
  std::string receive = "sockets";  ///< how bytes of a store across the network come: see ReceiveChoice
};

/// Runs from start() to its destruction: at most kSessionsMax engines at once, each with a link of its own.
class Plane {
 public:
  /// Takes all memory, opens the store, binds the socket, starts the threads. On failure `message` is a
  /// sentence for a person (start-up error).
  static Result<std::unique_ptr<Plane>> start(const PlaneOptions& options, std::string& message);
  virtual ~Plane() = default;

  /// Accepts engines and serves stats on the calling thread until `stop_fd` becomes readable (an eventfd or
  /// signalfd of the caller's).
  virtual void serve(int stop_fd) = 0;

  /// One JSON document: version, store, threads, stages, funnels by reason, sessions, memory,
  /// frozen-heap allocations. The thread that serves, or any while no engine comes or goes.
  virtual std::string stats_json() const = 0;
  /// Where engines on other machines find it, with the port that it really has; empty without `listen`.
  virtual std::string network_address() const = 0;
  /// The same in one line for a start-up message.
  virtual std::string describe() const = 0;
};

}  // namespace shadowserve
