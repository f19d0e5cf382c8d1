// Reads the statistics document of a running data plane.
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "command.h"
#include "wire/network/plane_address.h"

namespace shadowserve {
namespace {

constexpr int kAnswerSecondsMax = 3;
constexpr size_t kDocumentBytesMax = 16u << 20;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(const Socket&) = delete;
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::string read_plane_stats(const std::string& socket_path) {
  if (socket_path.starts_with(kTlsScheme)) {
    throw StartError(
        fmt::format("{} serves no statistics: run this on the data plane's machine, with its --socket PATH",
                    socket_path));
  }
  const std::string path = socket_path + ".stats";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) throw StartError(fmt::format("the path {} is too long", path));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{kAnswerSecondsMax, 0};
  setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(socket.fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  if (connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw StartError(
        fmt::format("no data plane answers on {} ({}); start one with: shadowserve plane --socket {}", path,
                    std::strerror(errno), socket_path));
  }
  std::string document;
  char piece[16384];
  for (;;) {
    const ssize_t got = recv(socket.fd(), piece, sizeof(piece), 0);
    if (got == 0) return document;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw StartError(fmt::format("the data plane on {} went silent: {}", path, std::strerror(errno)));
    document.append(piece, static_cast<size_t>(got));
    if (document.size() > kDocumentBytesMax) throw StartError(path + " does not speak like a data plane");
  }
}

}  // namespace shadowserve
