// Addresses as text, the resolver, and sockets as a link wants them.
#include "wire/network/plane_address.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "contract/limits.h"

namespace shadowserve {
namespace {

// What lies in the kernel is late already on a slow link: an eighth of a second at 1 Mbit/s. On a fast one it
// never fills.
constexpr int kSocketBufferBytes = 16 << 10;

Result<PlaneAddress> parse_host_port(std::string_view text, std::string& message) {
  const std::string whole(text);
  message = fmt::format("\"tls://{}\" is no address: write tls://HOST:PORT, like tls://nic0:7601", whole);
  PlaneAddress address;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return fail(Error::kConfig);
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    message += "; an IPv6 address stands in brackets";
    return fail(Error::kConfig);
  }
  const auto [end, code] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  const bool whole_port = code == std::errc() && end == port.data() + port.size() && !port.empty();
  if (host.empty() || host.find('/') != std::string_view::npos || !whole_port) return fail(Error::kConfig);
  address.host = host;
  message.clear();
  return address;
}

std::string text_of(const PlaneAddress& address) { return fmt::format("{}:{}", address.host, address.port); }

}  // namespace

Result<PlaneAddress> parse_plane_address(std::string_view text, std::string& message) {
  if (text.starts_with(kTlsScheme)) return parse_host_port(text.substr(kTlsScheme.size()), message);
  if (const size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    message = fmt::format("\"{}\" is no address of a data plane: use a Unix socket's path or tls://HOST:PORT",
                          text);
    return fail(Error::kConfig);
  }
  constexpr size_t kPathMax = sizeof(sockaddr_un::sun_path) - 1;
  if (text.empty() || text.size() > kPathMax) {
    message = fmt::format("socket_path is {} characters long: a Unix socket's path has 1 to {}", text.size(),
                          kPathMax);
    return fail(Error::kConfig);
  }
  PlaneAddress address;
  address.path = text;
  return address;
}

Result<std::vector<SocketAddress>> resolve_plane_address(const PlaneAddress& address, std::string& message) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (code != 0) {
    message = fmt::format("cannot find the host of tls://{}: {}", text_of(address), gai_strerror(code));
    return fail(Error::kConfig);
  }
  std::vector<SocketAddress> addresses;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    SocketAddress one;
    std::memcpy(&one.storage, each->ai_addr, each->ai_addrlen);
    one.size = each->ai_addrlen;
    addresses.push_back(one);
  }
  freeaddrinfo(found);
  return addresses;
}

Result<int> listen_tcp(const PlaneAddress& address, std::string& message) {
  const auto addresses = resolve_plane_address(address, message);
  if (!addresses) return fail(addresses.error());
  int problem = 0;
  for (const SocketAddress& each : *addresses) {
    const int fd = socket(each.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) continue;
    const int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);  // a restarted plane takes its port at once
    if (bind(fd, each.get(), each.size) == 0 && ::listen(fd, 16) == 0) return fd;
    problem = errno;
    close(fd);
  }
  message = fmt::format("cannot listen on tls://{}: {}", text_of(address), std::strerror(problem));
  return fail(Error::kConfig);
}

void prepare_link_socket(int fd) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  const unsigned unacknowledged_ms = kLinkSilenceNs / 1'000'000;
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
  const int bytes = kSocketBufferBytes;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

int start_connect_tcp(const SocketAddress& address) {
  const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  prepare_link_socket(fd);
  if (connect(fd, address.get(), address.size) == 0 || errno == EINPROGRESS) return fd;
  const int problem = errno;
  close(fd);
  errno = problem;
  return -1;
}

std::string peer_text(int fd) {
  SocketAddress peer;
  peer.size = sizeof peer.storage;
  char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size) != 0) return "?";
  getnameinfo(peer.get(), peer.size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  return fmt::format("{}:{}", host, port);
}

}  // namespace shadowserve
