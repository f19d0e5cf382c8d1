// Where a data plane is: a Unix socket on this host, or tls://HOST:PORT across the network.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "contract/result.h"

namespace shadowserve {

inline constexpr std::string_view kTlsScheme = "tls://";

struct PlaneAddress {
  std::string path;  ///< of the Unix socket; empty: the address is HOST:PORT
  std::string host;  ///< a name, or an address without its brackets
  uint16_t port = 0;

  bool network() const { return path.empty(); }
};

/// "tls://nic0:7601", "tls://[fe80::1]:7601", or a path of at most 107 bytes. kConfig with a sentence in
/// `message`.
Result<PlaneAddress> parse_plane_address(std::string_view text, std::string& message);

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// Every TCP address that the host has. Asks the resolver, which may block for seconds unless the host is
/// numeric: call it at start. REQUIRES network(). kConfig with a sentence in `message`.
Result<std::vector<SocketAddress>> resolve_plane_address(const PlaneAddress& address, std::string& message);

/// Binds and listens on the first address that can be had (non-blocking). kConfig with a sentence.
Result<int> listen_tcp(const PlaneAddress& address, std::string& message);
/// Starts to connect; -1 with errno when that fails at once. Sets what every socket of a link has.
int start_connect_tcp(const SocketAddress& address);
/// No delays, small buffers (what lies in them is late already), an end when a peer acknowledges nothing.
void prepare_link_socket(int fd);
/// "10.0.0.7:51234" of the peer, for logs.
std::string peer_text(int fd);

}  // namespace shadowserve
