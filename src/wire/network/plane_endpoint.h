// Everything needed to reach a data plane: on this host a path, across machines also who both sides are.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "wire/network/plane_address.h"
#include "wire/network/tls_identity.h"

namespace shadowserve {

struct PlaneEndpoint {
  PlaneEndpoint() = default;
  /// A plane on this host, by its Unix socket.
  PlaneEndpoint(const std::string& path) : text(path) { address.path = path; }  // NOLINT: a path is one

  std::string text;  ///< as it was given, for people
  PlaneAddress address;
  // The rest for a network address only.
  std::vector<SocketAddress> sockets;  ///< resolved once, at start: no link's thread ever asks a resolver
  std::shared_ptr<const TlsIdentity> identity;
  std::string name;    ///< what the plane's certificate has to say
  std::string window;  ///< path of the window socket; empty: a link for lookups only

  bool network() const { return identity != nullptr; }
};

/// Reads certificates and asks the resolver, for a network address; else takes the path. `name` empty: the
/// host of the address. kConfig with a sentence in `message`.
Result<PlaneEndpoint> find_plane(const std::string& text, const TlsFiles& tls, const std::string& name,
                                 const std::string& window, std::string& message);

}  // namespace shadowserve
