// Handshake on the Unix socket, checked field by field: a plane of another version must not harm its engine.
#include "wire/local_attachment.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "wire/unix_socket.h"

namespace shadowserve {
namespace {

constexpr uint32_t kRingEntriesMax = 1u << 16;

void close_fd(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

}  // namespace

LocalAttachment::LocalAttachment(LocalAttachment&& other) noexcept { *this = std::move(other); }

LocalAttachment& LocalAttachment::operator=(LocalAttachment&& other) noexcept {
  if (this == &other) return *this;
  close_all();
  socket_ = std::exchange(other.socket_, -1);
  plane_doorbell_ = std::exchange(other.plane_doorbell_, -1);
  own_doorbell_ = std::exchange(other.own_doorbell_, -1);
  rings_ = std::move(other.rings_);
  requests_ = std::exchange(other.requests_, {});
  replies_ = std::exchange(other.replies_, {});
  ring_entries_ = std::exchange(other.ring_entries_, 0);
  session_ = other.session_;
  refusal_ = other.refusal_;
  return *this;
}

LocalAttachment::~LocalAttachment() { close_all(); }

void LocalAttachment::close_all() {
  close_fd(socket_);
  close_fd(plane_doorbell_);
  close_fd(own_doorbell_);
  requests_ = {};
  replies_ = {};
  rings_ = {};
  ring_entries_ = 0;
}

Result<void> LocalAttachment::connect(const std::string& path, std::string& reason) {
  close_all();
  const auto connected = connect_unix(path, SOCK_SEQPACKET);
  if (!connected) {
    reason = std::strerror(errno);
    return fail(connected.error());
  }
  socket_ = *connected;
  return {};
}

bool LocalAttachment::greet(const LinkHello& hello, std::span<const int> fds) {
  return send_with_fds(socket_, &hello, sizeof hello, fds);
}

LocalAttachment::Greeting LocalAttachment::read_welcome(std::string& reason) {
  LinkWelcome welcome;
  int fds[3] = {-1, -1, -1};
  size_t count = 0;
  const ssize_t got = receive_with_fds(socket_, &welcome, sizeof welcome, fds, count);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return Greeting::kPending;
  const bool whole = got == static_cast<ssize_t>(sizeof welcome);
  const bool adopted = whole && adopt(welcome, fds);
  for (int& fd : fds) close_fd(fd);
  if (adopted) return Greeting::kUp;
  if (whole && welcome.magic == kLinkMagic && welcome.error != 0) {
    welcome.text[sizeof welcome.text - 1] = '\0';
    reason = welcome.text;
    refusal_ = welcome.error < kErrorCount ? static_cast<Error>(welcome.error) : Error::kPlaneDown;
    return Greeting::kRefused;
  }
  reason = got == 0 ? "it closed the connection" : "it is of another version or not a data plane";
  return Greeting::kBroken;
}

bool LocalAttachment::adopt(const LinkWelcome& welcome, int (&fds)[3]) {
  const uint32_t entries = welcome.ring_entries;
  const bool sane =
      welcome.magic == kLinkMagic && welcome.version == kLinkVersion && welcome.error == 0 && entries >= 2 &&
      entries <= kRingEntriesMax && (entries & (entries - 1)) == 0 && welcome.replies_offset % 64 == 0 &&
      welcome.replies_offset >= RequestRing::bytes(entries) &&
      welcome.replies_offset <= (uint64_t{1} << 30) && fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0;
  if (!sane) return false;
  auto rings =
      SharedRegion::map(std::exchange(fds[0], -1), welcome.replies_offset + ReplyRing::bytes(entries));
  if (!rings) return false;
  rings_ = std::move(*rings);
  plane_doorbell_ = std::exchange(fds[1], -1);
  own_doorbell_ = std::exchange(fds[2], -1);
  for (int fd : {plane_doorbell_, own_doorbell_}) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  requests_ = RequestRing::attach(rings_.data(), entries);
  replies_ = ReplyRing::attach(rings_.data() + welcome.replies_offset, entries);
  ring_entries_ = entries;
  session_ = welcome.session;
  return true;
}

bool LocalAttachment::ended(std::string& reason) {
  char byte;
  const ssize_t got = recv(socket_, &byte, 1, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return false;
  reason = got == 0 ? "it closed the connection" : "it broke the link protocol";
  return true;
}

void LocalAttachment::ring() {
  if (!requests_.must_ring()) return;
  const uint64_t one = 1;
  // A full counter rings as well; a plane that is gone shows at the socket.
  [[maybe_unused]] const ssize_t written = write(plane_doorbell_, &one, sizeof one);
}

void LocalAttachment::end_sleep() {
  replies_.end_sleep();
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(own_doorbell_, &count, sizeof count);
}

}  // namespace shadowserve
