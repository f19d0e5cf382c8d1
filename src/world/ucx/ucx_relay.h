// Stands beside a store that speaks TCP and lets streams over UCX in: each gets a TCP connection of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "world/stream.h"

namespace shadowserve {

struct UcxRelayOptions {
  StreamAddress listen;           ///< port 0: a free one
  std::vector<StreamAddress> to;  ///< of the store; tried in turn for each connection
  uint32_t connections_max = 256;
  uint64_t dial_ns_max = 1'000'000'000;  ///< for the client's greeting, and again for the store to answer
};

struct UcxRelayCounts {
  uint64_t open = 0;      ///< connections now
  uint64_t accepted = 0;  ///< since start
  uint64_t refused = 0;   ///< there were too many
  uint64_t failed = 0;    ///< no greeting, or no store
  uint64_t bytes_in = 0;  ///< from clients to the store, without greetings
  uint64_t bytes_out = 0;
};

/// A thread for each connection. May allocate and block, always. UCX checks little of what peers send: a
/// relay belongs into a network that is trusted, as the store does.
class UcxRelay {
 public:
  /// Listens; nobody is served yet. kSystem with a sentence in `message`.
  static Result<std::unique_ptr<UcxRelay>> create(const UcxRelayOptions& options, std::string& message);
  /// Ends all connections.
  virtual ~UcxRelay() = default;

  /// Until `stop_fd` is readable. Once.
  virtual void serve(int stop_fd) = 0;
  virtual uint16_t port() const = 0;
  /// "UCX 1.13.1". Any thread, as is counts().
  virtual std::string describe() const = 0;
  virtual UcxRelayCounts counts() const = 0;
};

}  // namespace shadowserve
