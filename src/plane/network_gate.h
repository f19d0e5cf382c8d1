// The gate: one thread that serves every engine on another machine, beside the data plane's own threads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "plane/network_peer.h"
#include "wire/network/plane_address.h"

namespace shadowserve {

struct GateOptions {
  std::string listen;  ///< tls://HOST:PORT; port 0: one that is free
  TlsFiles tls;
  std::string window_path;  ///< empty: engines can only look up
  std::string socket_path;  ///< of the plane's own reception
};

/// Speaks TLS on one side and is a client of its own plane on the other: stages, slots and the reception know
/// nothing of it. May allocate, log and block briefly, as the main thread may.
class NetworkGate {
 public:
  /// Reads certificates, binds, starts the thread. kConfig with a sentence in `message`.
  static Result<std::unique_ptr<NetworkGate>> start(const GateOptions& options, std::string& message);
  /// Says goodbye to whoever is there.
  ~NetworkGate();
  NetworkGate(const NetworkGate&) = delete;
  NetworkGate& operator=(const NetworkGate&) = delete;

  uint16_t port() const { return port_; }
  /// "tls://0.0.0.0:7601".
  std::string address() const;

  struct Counts {
    std::atomic<uint64_t> connections{0};  ///< taken from the listening socket
    std::atomic<uint64_t> attached{0};     ///< had a session
    std::atomic<uint64_t> turned_away{0};  ///< never had one: no certificate, other version, silence
    std::atomic<uint32_t> peers{0};        ///< now
  };
  /// Any thread.
  const Counts& counts() const { return counts_; }

 private:
  NetworkGate() = default;
  void run();
  void accept_peers(uint64_t now_ns);
  enum Woken : uint8_t { kNobody = 0, kStranger = 1, kWindow = 2 };
  /// Until something happens; not at all when `busy`. Whose listening socket woke it, as flags.
  uint8_t wait(bool busy, uint64_t now_ns);
  void end(std::unique_ptr<NetworkPeer>& peer);
  bool may_log(uint64_t now_ns);

  GateOptions options_;
  PlaneAddress listen_;
  uint16_t port_ = 0;
  std::shared_ptr<const TlsIdentity> identity_;
  WindowDesk window_;
  MonotonicClock clock_;
  int listen_fd_ = -1;
  int stop_fd_ = -1;
  std::array<std::unique_ptr<NetworkPeer>, kNetworkPeersMax> peers_;
  Counts counts_;
  uint64_t log_window_ns_ = 0;
  uint32_t logged_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace shadowserve
