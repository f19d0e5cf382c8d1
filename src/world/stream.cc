// TCP sockets, never blocking.
#include "world/stream.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "contract/check.h"

namespace shadowserve {

std::string host_and_port(std::string_view host, uint16_t port) {
  const bool brackets = host.find(':') != std::string_view::npos;
  return fmt::format("{}{}{}:{}", brackets ? "[" : "", host, brackets ? "]" : "", port);
}

Result<std::vector<StreamAddress>> resolve_stream(const std::string& host, uint16_t port,
                                                  std::string& message) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (code != 0) {
    message =
        "cannot find host \"" + host + "\": " + gai_strerror(code) + "; check the name or use an address";
    return fail(code == EAI_NONAME ? Error::kConfig : Error::kSystem);
  }
  std::vector<StreamAddress> out;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    StreamAddress address;
    std::memcpy(&address.address, entry->ai_addr, entry->ai_addrlen);
    address.size = entry->ai_addrlen;
    out.push_back(address);
  }
  freeaddrinfo(found);
  return out;
}

Failure TcpStream::broken(int why) {
  why_ = why;
  return fail(Error::kSystem);
}

Result<void> TcpStream::connect(const StreamAddress& to) {
  SS_CHECK(fd_ < 0, "a stream is closed before it connects again");
  const int fd = socket(to.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return broken(errno);
  adopt(fd);
  connecting_ = true;
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to.address), to.size) != 0 && errno != EINPROGRESS) {
    return broken(errno);
  }
  return {};
}

void TcpStream::adopt(int fd) {
  SS_CHECK(fd_ < 0, "a stream has one connection at a time");
  fd_ = fd;
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd_, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

int TcpStream::release() {
  connecting_ = false;
  return std::exchange(fd_, -1);
}

Result<bool> TcpStream::ready() {
  if (!connecting_) return fd_ >= 0;
  pollfd entry{.fd = fd_, .events = POLLOUT, .revents = 0};
  if (::poll(&entry, 1, 0) <= 0) return false;
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return broken(error);
  connecting_ = false;
  return true;
}

Result<size_t> TcpStream::readv(std::span<const iovec> into) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(into.data());
  message.msg_iovlen = into.size();
  const ssize_t bytes = recvmsg(fd_, &message, MSG_DONTWAIT);
  if (bytes > 0) return static_cast<size_t>(bytes);
  if (bytes == 0) return broken(0);
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return size_t{0};
  return broken(errno);
}

Result<size_t> TcpStream::writev(std::span<const iovec> from) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(from.data());
  message.msg_iovlen = from.size();
  const ssize_t bytes = sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (bytes >= 0) return static_cast<size_t>(bytes);
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return size_t{0};
  return broken(errno);
}

void TcpStream::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  connecting_ = false;
}

}  // namespace shadowserve
