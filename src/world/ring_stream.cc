// The ring of one connection. Receiving and sending never wait in the kernel (MSG_DONTWAIT), so they have
// ended when the call that hands them over returns; what stays behind only watches the socket. That keeps the
// promise of the seam - memory is the caller's again at once - and an idle thread has nothing to ask the
// kernel: a watch that goes off shows in memory that both share.
#include "world/ring_stream.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr unsigned kEntries = 16;            // a watch for input, one for output, a send and two receives fit
constexpr size_t kPieceBytesMax = 1u << 30;  // of registered memory: the kernel's own limit
constexpr int kTriesMax = 1000;

unsigned ring_flags(IoUringMode mode) {
  switch (mode) {
    case IoUringMode::kDeferred:
      // Disabled until its thread takes it over: rings are made by another one.
      return IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
             IORING_SETUP_R_DISABLED;
    case IoUringMode::kCooperative:
      return IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
    case IoUringMode::kPlain:
      return 0;
  }
  return 0;
}

bool sockets_can_read_without_waiting() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool can = can_read_without_waiting(fd);
  ::close(fd);
  return can;
}

}  // namespace

bool can_read_without_waiting(int fd) {
  std::byte byte;
  const iovec part{&byte, 1};
  // EOPNOTSUPP where it cannot be told so, other errors where the kernel (or who plays it) knows no such
  // call.
  return preadv2(fd, &part, 1, -1, RWF_NOWAIT) >= 0 || errno == EAGAIN || errno == ENOTCONN;
}

std::unique_ptr<RingStream> RingStream::create(IoUringMode mode) {
  std::unique_ptr<RingStream> stream(new RingStream(mode));
  io_uring_params params{};
  params.flags = ring_flags(mode);
  const int code = io_uring_queue_init_params(kEntries, &stream->ring_, &params);
  if (code < 0) return errno = -code, nullptr;
  stream->made_ = true;
  // Came with 5.13, as did watches that go off more than once.
  if ((params.features & IORING_FEAT_RSRC_TAGS) == 0) return errno = ENOSYS, nullptr;
  // A place for the socket of each connection to come: the kernel need not look descriptors up.
  const int none = -1;
  stream->fixed_file_ = io_uring_register_files(&stream->ring_, &none, 1) == 0;
  return stream;
}

RingStream::RingStream(IoUringMode mode) : mode_(mode) {}

RingStream::~RingStream() {
  close();
  if (made_) io_uring_queue_exit(&ring_);
}

io_uring_sqe& RingStream::entry() {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  SS_CHECK(entry != nullptr, "a call hands over fewer operations than the ring has entries");
  return *entry;
}

/// After the operation was prepared, which clears flags.
void RingStream::seal(io_uring_sqe& entry, Tag tag, unsigned more_flags) const {
  io_uring_sqe_set_flags(&entry, (fixed_file_ ? IOSQE_FIXED_FILE : 0u) | more_flags);
  io_uring_sqe_set_data64(&entry, tag);
}

void RingStream::use_memory(std::span<std::byte> memory) {
  if (!sockets_can_read_without_waiting())
    return;  // a receive can be told so on any kernel, but names no buffer
  std::array<iovec, 64> pieces;
  size_t count = 0;
  for (size_t at = 0; at < memory.size() && count < pieces.size(); at += kPieceBytesMax) {
    pieces[count++] = {memory.data() + at, std::min(kPieceBytesMax, memory.size() - at)};
  }
  if (count == 0 || !memory_.empty() || count * kPieceBytesMax < memory.size()) return;
  if (io_uring_register_buffers(&ring_, pieces.data(), static_cast<unsigned>(count)) == 0) {
    memory_ = memory;
  }
}

Failure RingStream::broken(int why) {
  why_ = why;
  return fail(Error::kSystem);
}

Result<void> RingStream::connect(const StreamAddress& to) {
  if (dead_) return broken(EIO);
  const auto begun = tcp_.connect(to);
  if (!begun) why_ = tcp_.why();
  return begun;
}

Result<bool> RingStream::ready() {
  const Result<bool> up = tcp_.ready();
  if (!up) return broken(tcp_.why());
  if (!*up || started_) return up;
  if (!begin()) return broken(errno);
  return true;
}

/// A connection stands: from here on the ring belongs to this thread.
bool RingStream::begin() {
  if (owner_ == std::thread::id()) {
    owner_ = std::this_thread::get_id();
    if (mode_ == IoUringMode::kDeferred) {
      // liburing 2.3 declares a call for this, but does not have it.
      if (syscall(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) < 0)
        return false;
    }
  }
  const int fd = tcp_.fd();
  if (fixed_file_ && io_uring_register_files_update(&ring_, 0, &fd, 1) != 1) {
    fixed_file_ = false;
  }
  started_ = input_ = true;
  return true;
}

/// Whether the kernel has something to tell. Looks at shared memory only.
bool RingStream::news() const {
  constexpr unsigned kCall = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
  return (IO_URING_READ_ONCE(*ring_.sq.kflags) & kCall) != 0;
}

/// Takes in what has ended. No call.
void RingStream::reap() {
  unsigned head = 0, count = 0;
  io_uring_cqe* done = nullptr;
  bool input = false;
  io_uring_for_each_cqe(&ring_, head, done) {
    ++count;
    const bool lasts = (done->flags & IORING_CQE_F_MORE) != 0;
    switch (done->user_data) {
      case kReceived:
        received_ = done->res, --pending_;
        break;
      case kTail:
        tail_ = done->res, --pending_;
        break;
      case kSent:
        sent_ = done->res, --pending_;
        break;
      case kInput:
        watching_ = lasts;
        // Bytes may still come behind the end of the stream or an error: it is there until it is read.
        ended_ = ended_ || done->res < 0 || (done->res & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
        input = true;
        break;
      case kOutput:
        blocked_ = false;
        break;
      default:
        break;
    }
  }
  io_uring_cq_advance(&ring_, count);
  // Whether it went off before or after a receive of the same batch cannot be told: look once more.
  input_ = input_ || input;
}

/// Hands over what was queued and lets the kernel tell all that it knows. Returns when receives and sends
/// have ended.
Result<void> RingStream::enter() {
  for (int tries = 0; tries < kTriesMax; ++tries) {
    ++kernel_calls_;
    const int code = io_uring_submit_and_get_events(&ring_);
    if (code < 0 && code != -EINTR && code != -EAGAIN && code != -EBUSY) {
      dead_ = true;
      return broken(-code);
    }
    reap();
    if (pending_ == 0 && io_uring_sq_ready(&ring_) == 0) return {};
  }
  dead_ = true;
  return broken(EIO);
}

void RingStream::queue_watch() {
  if (watching_) return;
  io_uring_sqe& sqe = entry();
  io_uring_prep_poll_multishot(&sqe, target(), POLLIN | POLLRDHUP);
  seal(sqe, kInput);
  watching_ = true;
}

void RingStream::queue_send(std::span<const iovec> more) {
  size_t count = 0;
  if (kept_end_ > kept_begin_) {
    send_parts_[count++] = {kept_.data() + kept_begin_, kept_end_ - kept_begin_};
  }
  for (const iovec& part : more.first(std::min(more.size(), kPartsMax - 1))) send_parts_[count++] = part;
  send_ = {};
  send_.msg_iov = send_parts_.data();
  send_.msg_iovlen = count;
  io_uring_sqe& sqe = entry();
  io_uring_prep_sendmsg(&sqe, target(), &send_, MSG_DONTWAIT | MSG_NOSIGNAL);
  seal(sqe, kSent);
  ++pending_;
}

/// What became of a send of `wanted` bytes: how many of them went. Less than all: watches for room.
Result<size_t> RingStream::settle_send(size_t wanted) {
  const bool later = sent_ == -EAGAIN || sent_ == -EINTR;
  if (sent_ < 0 && !later) return broken(-sent_);
  const size_t sent = later ? 0 : static_cast<size_t>(sent_);
  if (sent < wanted) {
    blocked_ = true;
    io_uring_sqe& sqe = entry();
    io_uring_prep_poll_add(&sqe, target(), POLLOUT);
    seal(sqe, kOutput);
    if (const auto told = enter(); !told) return fail(told.error());
  }
  const size_t kept = std::min(sent, kept_end_ - kept_begin_);
  kept_begin_ += kept;
  if (kept_begin_ == kept_end_) kept_begin_ = kept_end_ = 0;
  return sent - kept;
}

/// While there is none: whether the kernel has something to tell.
Result<void> RingStream::hear_of_room() {
  reap();
  return blocked_ && news() ? enter() : Result<void>();
}

bool RingStream::in_memory(const iovec& part) const {
  const auto* at = static_cast<const std::byte*>(part.iov_base);
  if (at < memory_.data() || at + part.iov_len > memory_.data() + memory_.size()) return false;
  const auto first = static_cast<size_t>(at - memory_.data());
  return first / kPieceBytesMax == (first + part.iov_len - 1) / kPieceBytesMax;
}

/// One receive, or two in a chain when the first part lies in registered memory: a chain breaks where fewer
/// bytes come than were asked for, so no byte lands behind a gap.
void RingStream::queue_receive(std::span<const iovec> into) {
  received_ = tail_ = 0;
  std::span<const iovec> rest = into;
  Tag tag = kReceived;
  if (!into.empty() && into[0].iov_len > 0 && !memory_.empty() && in_memory(into[0])) {
    rest = into.subspan(1);
    const auto piece = static_cast<int>(
        static_cast<size_t>(static_cast<std::byte*>(into[0].iov_base) - memory_.data()) / kPieceBytesMax);
    io_uring_sqe& sqe = entry();
    io_uring_prep_read_fixed(&sqe, target(), into[0].iov_base, static_cast<unsigned>(into[0].iov_len), 0,
                             piece);
    sqe.rw_flags = RWF_NOWAIT;
    seal(sqe, kReceived, rest.empty() ? 0u : IOSQE_IO_LINK);
    ++pending_;
    tag = kTail;
    if (rest.empty()) return;
  }
  std::copy(rest.begin(), rest.end(), receive_parts_.begin());
  receive_ = {};
  receive_.msg_iov = receive_parts_.data();
  receive_.msg_iovlen = rest.size();
  io_uring_sqe& sqe = entry();
  io_uring_prep_recvmsg(&sqe, target(), &receive_, MSG_DONTWAIT);
  seal(sqe, tag);
  ++pending_;
}

Result<size_t> RingStream::settle_receive(size_t wanted) {
  const auto later = [](int result) { return result == -EAGAIN || result == -EINTR || result == -ECANCELED; };
  if (received_ < 0 && !later(received_)) return broken(-received_);
  if (received_ == 0) return broken(0);
  size_t got = static_cast<size_t>(std::max(received_, 0));
  if (tail_ > 0) got += static_cast<size_t>(tail_);
  if (tail_ < 0 && !later(tail_)) late_why_ = -tail_;
  // Fewer bytes than were asked for: there are no more, or the watch goes off again.
  input_ = input_ || got == wanted || received_ == -EINTR;
  return got;
}

Result<size_t> RingStream::readv(std::span<const iovec> into) {
  if (tcp_.fd() < 0 || !started_) return broken(ENOTCONN);
  if (late_why_ >= 0) return broken(late_why_);
  into = into.first(std::min(into.size(), kPartsMax));
  // Before it is decided what to send: else what was kept would wait for a room that is there already.
  if (const auto told = hear_of_room(); !told) return fail(told.error());
  const bool sends = kept_end_ > kept_begin_ && !blocked_;
  const bool receives = input_ || ended_ || news();
  if (!sends && !receives) return size_t{0};  // an idle turn
  queue_watch();
  const size_t kept = kept_end_ - kept_begin_;
  if (sends) queue_send({});
  size_t wanted = 0;
  if (receives) {
    for (const iovec& part : into) wanted += part.iov_len;
    input_ = false;
    queue_receive(into);
  }
  if (const auto done = enter(); !done) return fail(done.error());
  if (sends) {
    if (const auto sent = settle_send(kept); !sent) return fail(sent.error());
  }
  if (!receives) return size_t{0};
  return settle_receive(wanted);
}

Result<size_t> RingStream::writev(std::span<const iovec> from) {
  if (tcp_.fd() < 0 || !started_) return broken(ENOTCONN);
  if (const auto told = hear_of_room(); !told) return fail(told.error());
  if (blocked_) return size_t{0};
  size_t wanted = 0;
  for (const iovec& part : from) wanted += part.iov_len;
  if (wanted <= kKeptBytesMax - kept_end_) {
    for (const iovec& part : from) {
      std::memcpy(kept_.data() + kept_end_, part.iov_base, part.iov_len);
      kept_end_ += part.iov_len;
    }
    return wanted;
  }
  const size_t kept = kept_end_ - kept_begin_;
  wanted = 0;
  for (const iovec& part : from.first(std::min(from.size(), kPartsMax - 1))) wanted += part.iov_len;
  queue_watch();
  queue_send(from);
  if (const auto done = enter(); !done) return fail(done.error());
  return settle_send(kept + wanted);
}

Result<void> RingStream::flush() {
  if (tcp_.fd() < 0 || !started_) return {};
  if (const auto told = hear_of_room(); !told) return fail(told.error());
  const size_t kept = kept_end_ - kept_begin_;
  if (kept == 0 || blocked_) return {};
  queue_send({});
  if (const auto done = enter(); !done) return fail(done.error());
  const auto sent = settle_send(kept);
  if (!sent) return fail(sent.error());
  return {};
}

/// What watches the socket holds it open: it ends before the socket is closed.
void RingStream::forget_watches() {
  for (const Tag tag : {kInput, kOutput}) {
    if (tag == kInput ? !watching_ : !blocked_) continue;
    io_uring_sqe& sqe = entry();
    io_uring_prep_poll_remove(&sqe, tag);
    io_uring_sqe_set_data64(&sqe, kNobody);
  }
  for (int tries = 0; (watching_ || blocked_) && tries < kTriesMax; ++tries) {
    if (!enter()) break;
  }
  const int none = -1;
  if (fixed_file_) io_uring_register_files_update(&ring_, 0, &none, 1);
}

void RingStream::close() {
  if (tcp_.fd() >= 0 && started_) {
    // Only the owner may use the ring. Where another thread destroys the stream the ring goes with it, the
    // kernel takes its time over that, and the peer is told meanwhile.
    if (owner_ == std::this_thread::get_id() && !dead_) {
      forget_watches();
    } else {
      shutdown(tcp_.fd(), SHUT_RDWR);
    }
  }
  tcp_.close();
  kept_begin_ = kept_end_ = 0;
  pending_ = 0;
  late_why_ = -1;
  started_ = watching_ = input_ = ended_ = blocked_ = false;
}

}  // namespace shadowserve
