// SCM_RIGHTS and friends.
#include "wire/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr size_t kFdsMax = 8;

bool fill_address(const std::string& path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  return true;
}

}  // namespace

Result<int> connect_unix(const std::string& path, int type) {
  sockaddr_un address;
  if (!fill_address(path, address)) return fail(Error::kConfig);
  const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail(Error::kSystem);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return fd;
  close(fd);
  return fail(Error::kPlaneDown);
}

Result<int> listen_unix(const std::string& path, int type, std::string& message) {
  sockaddr_un address;
  if (!fill_address(path, address)) {
    message = "the socket path '" + path + "' is empty or longer than 107 bytes";
    return fail(Error::kConfig);
  }
  if (const auto live = connect_unix(path, type)) {
    close(*live);
    message = "another data plane listens on " + path + ": stop it or choose another --socket";
    return fail(Error::kConfig);
  }
  const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    message = std::string("cannot make a socket: ") + std::strerror(errno);
    return fail(Error::kSystem);
  }
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) unlink(path.c_str());
  const mode_t old_mask = umask(0177);
  const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  umask(old_mask);
  if (!bound || ::listen(fd, 16) != 0) {
    message = "cannot listen on " + path + ": " + std::strerror(errno);
    close(fd);
    return fail(Error::kConfig);
  }
  return fd;
}

bool peer_may_attach(int fd) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == geteuid() || peer.uid == 0;
}

ssize_t receive_with_fds(int socket, void* message, size_t bytes, std::span<int> fds, size_t& fd_count) {
  fd_count = 0;
  iovec piece{message, bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kFdsMax)] = {};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  const ssize_t got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  if (got < 0) return got;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      if (fd_count < fds.size()) {
        fds[fd_count++] = fd;
      } else {
        close(fd);
      }
    }
  }
  return got;
}

ssize_t receive_with_fds(int socket, void* message, size_t bytes, ReceivedFds& fds) {
  SS_CHECK(fds.count_ == 0, "each message has descriptors of its own");
  return receive_with_fds(socket, message, bytes, fds.fds_, fds.count_);
}

ReceivedFds::~ReceivedFds() {
  for (const int fd : fds_) {
    if (fd >= 0) close(fd);
  }
}

int ReceivedFds::take(size_t index) {
  SS_CHECK(index < count_ && fds_[index] >= 0, "descriptors that came are taken once");
  return std::exchange(fds_[index], -1);
}

bool send_with_fds(int socket, const void* message, size_t bytes, std::span<const int> fds) {
  if (fds.size() > kFdsMax) return false;
  iovec piece{const_cast<void*>(message), bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kFdsMax)] = {};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(part), fds.data(), sizeof(int) * fds.size());
  }
  return sendmsg(socket, &header, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes);
}

}  // namespace shadowserve
