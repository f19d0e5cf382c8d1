// Frames of the relay become bytes, bytes become sends.
#include "world/ucx/ucx_stream.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr const char* kRemedy =
    "install libucx0 (UCX 1.10 or later) on this machine, or --receive sockets with the store's own address, "
    "for a relay speaks nothing but UCX";

/// All of this process share it: a context takes tens of milliseconds to make.
std::shared_ptr<const UcxContext> client_context(std::string& why) {
  static std::string failure;
  static const std::shared_ptr<const UcxContext> context = UcxContext::create(true, failure);
  why = failure;
  return context;
}

/// Appends to the caller's parts, front to back.
class Scatter {
 public:
  explicit Scatter(std::span<const iovec> parts) : parts_(parts) { skip(); }
  bool full() const { return parts_.empty(); }
  size_t put(std::span<const std::byte> from) {
    size_t done = 0;
    while (done < from.size() && !full()) {
      const size_t bytes = std::min(from.size() - done, parts_[0].iov_len - at_);
      std::memcpy(static_cast<std::byte*>(parts_[0].iov_base) + at_, from.data() + done, bytes);
      at_ += bytes;
      done += bytes;
      skip();
    }
    return done;
  }

 private:
  void skip() {
    for (; !parts_.empty() && at_ == parts_[0].iov_len; at_ = 0) parts_ = parts_.subspan(1);
  }
  std::span<const iovec> parts_;
  size_t at_ = 0;
};

}  // namespace

UcxFinding find_ucx() {
  std::string why;
  const auto context = client_context(why);
  if (context == nullptr) return {false, why, kRemedy};
  return {true, std::string("UCX ") + context->calls().get_version_string(), ""};
}

Result<std::unique_ptr<UcxStream>> UcxStream::create(std::string& message) {
  std::string why;
  const auto context = client_context(why);
  if (context == nullptr) {
    message = why + ": " + kRemedy;
    return fail(Error::kSystem);
  }
  auto dialer = UcxDialer::create(context);
  if (dialer == nullptr) {
    message = std::string("no descriptors for a connection through UCX: ") + std::strerror(errno);
    return fail(Error::kSystem);
  }
  return std::make_unique<UcxLentStream>(std::move(dialer));
}

Failure UcxLentStream::broken(int why) {
  why_ = why;
  return fail(Error::kSystem);
}

Result<void> UcxLentStream::connect(const StreamAddress& to) {
  SS_CHECK(fd_ < 0, "a stream is closed before it connects again");
  fd_ = epoll_create1(EPOLL_CLOEXEC);
  if (fd_ < 0) return broken(errno);
  if (!dialer_->dial(to)) return broken(EAGAIN);
  epoll_event event{};
  event.events = EPOLLIN;
  if (epoll_ctl(fd_, EPOLL_CTL_ADD, dialer_->bell_fd(), &event) != 0) return broken(errno);
  return {};
}

Result<bool> UcxLentStream::ready() {
  if (connection_ != nullptr || fd_ < 0) return fd_ >= 0;
  connection_ = dialer_->take();
  if (connection_ == nullptr) return false;
  if (connection_->why != 0) return broken(connection_->why);
  epoll_event event{};
  event.events = EPOLLIN;
  epoll_ctl(fd_, EPOLL_CTL_DEL, dialer_->bell_fd(), nullptr);
  for (const int fd : {connection_->link->event_fd(), connection_->link->control_fd()}) {
    if (epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) != 0) return broken(errno);
  }
  return true;
}

Result<size_t> UcxLentStream::readv(std::span<const iovec> into) {
  if (connection_ == nullptr || connection_->link == nullptr) return broken(ENOTCONN);
  if (ended_why_ >= 0) return broken(ended_why_);
  UcxLink& link = *connection_->link;
  UcxFrames& frames = connection_->frames;
  Scatter scatter(into);
  size_t got = 0;
  while (!scatter.full()) {
    const std::span<const std::byte> in = link.peek();
    if (in.empty()) {
      if (link.failure() == 0 || got > 0) return got;
      return broken(link.failure());
    }
    const UcxFrames::Step step = frames.next(in);
    if (step.event == UcxFrames::Event::kBytes) {
      const size_t bytes = scatter.put(in.first(step.bytes));
      frames.took(bytes);
      link.consume(bytes);
      got += bytes;
      continue;
    }
    link.consume(step.bytes);
    if (step.event == UcxFrames::Event::kMore) continue;
    ended_why_ = step.event == UcxFrames::Event::kEnd ? frames.why() : EPROTO;
    if (got > 0) return got;  // and how it ended with the next call
    return broken(ended_why_);
  }
  return got;
}

Result<size_t> UcxLentStream::writev(std::span<const iovec> from) {
  if (connection_ == nullptr || connection_->link == nullptr) return broken(ENOTCONN);
  UcxLink& link = *connection_->link;
  size_t sent = 0, part = 0, at = 0;
  while (part < from.size()) {
    if (ended_why_ >= 0) return broken(EPIPE);
    const std::span<std::byte> room = link.room();
    if (link.failure() != 0) return broken(link.failure());
    if (room.empty()) break;
    size_t filled = 0;
    while (part < from.size() && filled < room.size()) {
      const size_t bytes = std::min(room.size() - filled, from[part].iov_len - at);
      std::memcpy(room.data() + filled, static_cast<const std::byte*>(from[part].iov_base) + at, bytes);
      filled += bytes;
      at += bytes;
      if (at == from[part].iov_len) ++part, at = 0;
    }
    if (filled == 0) break;
    link.send(filled);
    if (link.failure() != 0) return broken(link.failure());
    sent += filled;
  }
  return sent;
}

Result<void> UcxLentStream::flush() {
  if (connection_ == nullptr || connection_->link == nullptr) return {};
  UcxLink& link = *connection_->link;
  if (link.sending()) link.drive();
  if (link.failure() != 0) return broken(link.failure());
  return {};
}

bool UcxLentStream::has_input() const {
  if (connection_ == nullptr || connection_->link == nullptr) return false;
  return ended_why_ >= 0 || connection_->link->failure() != 0 || !connection_->link->arm();
}

void UcxLentStream::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  dialer_->forget();
  if (connection_ != nullptr) dialer_->give_back(std::exchange(connection_, nullptr));
  ended_why_ = -1;
}

}  // namespace shadowserve
