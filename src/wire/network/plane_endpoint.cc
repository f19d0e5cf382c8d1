// One place where an address, files and a name become something to connect to.
#include "wire/network/plane_endpoint.h"

namespace shadowserve {

Result<PlaneEndpoint> find_plane(const std::string& text, const TlsFiles& tls, const std::string& name,
                                 const std::string& window, std::string& message) {
  auto address = parse_plane_address(text, message);
  if (!address) return fail(address.error());
  PlaneEndpoint plane;
  plane.text = text;
  plane.address = std::move(*address);
  if (!plane.address.network()) return plane;
  auto identity = TlsIdentity::load(tls, TlsSide::kEngine, message);
  if (!identity) return fail(identity.error());
  auto sockets = resolve_plane_address(plane.address, message);
  if (!sockets) return fail(sockets.error());
  plane.identity = std::move(*identity);
  plane.sockets = std::move(*sockets);
  plane.name = name.empty() ? plane.address.host : name;
  plane.window = window;
  return plane;
}

}  // namespace shadowserve
