// From hello to goodbye, with a clock on every wait.
#include "plane/network_peer.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "wire/calibration_call.h"
#include "wire/network/plane_address.h"
#include "wire/sealed_bytes.h"
#include "wire/unix_socket.h"

namespace shadowserve {
namespace {

constexpr int kReadsPerTurn = 8;

}  // namespace

NetworkPeer::NetworkPeer(int fd, const TlsIdentity& identity, WindowDesk& window,
                         const std::string& socket_path, uint64_t now_ns)
    : window_(window),
      socket_path_(socket_path),
      stream_(fd, identity, {}),
      by_ns_(now_ns + kHandshakeNs),
      who_(peer_text(fd)) {
  prepare_link_socket(fd);
}

void NetworkPeer::let_go() {
  local_ = {};  // the reception sees the socket close, and the session drains
  if (desk_fd_ >= 0) close(desk_fd_);
  desk_fd_ = -1;
}

void NetworkPeer::gone(std::string reason) {
  if (reason_.empty()) reason_ = std::move(reason);
  state_ = State::kGone;
  let_go();
  stream_.close();
}

void NetworkPeer::leave(Error error, std::string_view sentence, uint64_t now_ns) {
  if (state_ == State::kGone || state_ == State::kLeaving) return;
  reason_ = sentence;
  let_go();
  if (!stream_.ready() || !stream_.queue(frame_goodbye(error, sentence))) return gone(reason_);
  state_ = State::kLeaving;
  by_ns_ = now_ns + kLeaveNs;
  if (!stream_.step()) gone(stream_.reason());
}

bool NetworkPeer::step(uint64_t now_ns) {
  if (!stream_.step()) {
    gone(stream_.reason());
    return false;
  }
  if (state_ == State::kHandshake && stream_.ready()) {
    state_ = State::kListening;
    by_ns_ = now_ns + kFirstByteNs;
    who_ = fmt::format("{} ({})", who_, stream_.peer_name());
  }
  const bool more = stream_.ready() && read_frames(now_ns);
  if (state_ == State::kAttaching) look_for_welcome(now_ns);
  if (state_ == State::kCalling) look_for_answer(now_ns);
  if (state_ == State::kUp) send_replies();
  if (state_ == State::kGone) return false;
  check_time(now_ns);
  if (stream_.open() && !stream_.step()) gone(stream_.reason());
  if (state_ == State::kLeaving && stream_.queued() == 0 && !std::exchange(finished_, true)) stream_.finish();
  return more && state_ != State::kGone;
}

bool NetworkPeer::read_frames(uint64_t now_ns) {
  for (int turn = 0; turn < kReadsPerTurn; ++turn) {
    const ssize_t got = stream_.read(reader_.room());
    if (got < 0) gone(stream_.reason());
    if (got <= 0) return false;
    if (!heard_ && state_ == State::kListening) by_ns_ = now_ns + kNetworkGreetingNs;
    heard_ = true;
    pulse_.heard(now_ns);
    reader_.took(static_cast<size_t>(got));
    FrameEvent event = reader_.next();
    for (; event == FrameEvent::kFrame; event = reader_.next()) {
      if (state_ != State::kLeaving) frame_came(now_ns);
      if (state_ == State::kGone) return false;
    }
    if (event == FrameEvent::kMore) continue;
    // Nothing behind it can be understood; after last words nobody looks any more.
    if (state_ == State::kLeaving) return gone(reason_), false;
    const std::string sentence =
        event == FrameEvent::kOtherVersion
            ? fmt::format("this data plane speaks version {} of the link across machines, the engine {}",
                          kNetworkVersion, reader_.version())
            : "it broke the link protocol";
    leave(Error::kConfig, sentence, now_ns);
    return false;
  }
  return true;
}

void NetworkPeer::frame_came(uint64_t now_ns) {
  const FrameType type = reader_.type();
  if (type == FrameType::kPing) {
    if (!stream_.queue(frame_ping(FrameType::kPong, read_ping(reader_.payload()))))
      gone("it asks and does not listen");
  } else if (type == FrameType::kPong) {
    return;
  } else if (type == FrameType::kGoodbye) {
    gone(read_goodbye(reader_.payload()).sentence);
  } else if (type == FrameType::kHello && state_ == State::kListening) {
    hello_came(now_ns);
  } else if (type == FrameType::kCall && state_ == State::kListening) {
    call_came(now_ns);
  } else if (type == FrameType::kRequests && state_ == State::kUp) {
    requests_came(now_ns);
  } else {
    leave(Error::kConfig, "it broke the link protocol", now_ns);
  }
}

void NetworkPeer::hello_came(uint64_t now_ns) {
  NetworkHello hello;
  if (!read_hello(reader_.payload(), hello))
    return leave(Error::kConfig, "the greeting contradicts itself", now_ns);
  std::string sentence;
  std::array<int, 2> fds;
  size_t count = 0;
  int memory = -1;
  if (hello.window.bytes > 0) {
    const auto taken = window_.take(hello.window, sentence);
    if (!taken) return leave(taken.error(), sentence, now_ns);
    fds[count++] = memory = *taken;
  }
  SealedBytes calibration;
  if (!hello.calibration.empty()) {
    auto sealed = SealedBytes::create("shadowserve-calibration", hello.calibration);
    if (sealed) {
      calibration = std::move(*sealed);
      fds[count++] = calibration.fd();
    }
  }
  const bool whole = hello.calibration.empty() || calibration.fd() >= 0;
  const bool greeted = whole && local_.connect(socket_path_, sentence) &&
                       local_.greet(hello.hello, std::span(fds).first(count));
  if (memory >= 0) close(memory);
  if (!greeted) return leave(Error::kNoCapacity, "the data plane takes no more engines now", now_ns);
  state_ = State::kAttaching;
  by_ns_ = now_ns + kAnswerNs;
}

void NetworkPeer::look_for_welcome(uint64_t now_ns) {
  std::string sentence;
  switch (local_.read_welcome(sentence)) {
    case LocalAttachment::Greeting::kPending:
      return;
    case LocalAttachment::Greeting::kRefused:
      return leave(local_.refusal(), sentence, now_ns);
    case LocalAttachment::Greeting::kBroken:
      return leave(Error::kPlaneDown, "the data plane does not take engines", now_ns);
    case LocalAttachment::Greeting::kUp:
      break;
  }
  state_ = State::kUp;
  was_up_ = true;
  pulse_.start(now_ns);
  stream_.queue(frame_welcome({local_.ring_entries(), local_.session()}));
}

void NetworkPeer::requests_came(uint64_t now_ns) {
  const size_t count = reader_.payload().size() / sizeof(LinkRequest);
  for (size_t i = 0; i < count; ++i) {
    // An honest engine has at most as many requests outstanding as the ring has entries.
    if (!local_.submit(read_request(reader_.payload(), i, now_ns))) {
      return leave(Error::kNoCapacity, "more requests than the link has room for", now_ns);
    }
  }
  local_.ring();
}

void NetworkPeer::send_replies() {
  std::array<LinkReply, kBatchMax> some;
  while (has_room()) {
    size_t count = 0;
    while (count < some.size() && local_.take(some[count])) ++count;
    if (count == 0) return;
    stream_.queue(frame_replies(std::span(some).first(count), batch_));
  }
}

// The desk of the reception answers on a connection of its own: it gets one end of a pair.
void NetworkPeer::call_came(uint64_t now_ns) {
  NetworkCall network;
  if (!read_call(reader_.payload(), network))
    return leave(Error::kConfig, "the call contradicts itself", now_ns);
  const auto connected = connect_unix(socket_path_, SOCK_SEQPACKET);
  if (connected) desk_fd_ = *connected;
  CalibrationCall call;
  call.op = network.op;
  call.bytes = static_cast<uint32_t>(network.file.size());
  std::memcpy(call.fingerprint, network.fingerprint.data(), sizeof call.fingerprint);
  SealedBytes file;
  if (!network.file.empty()) {
    auto sealed = SealedBytes::create("shadowserve-calibration", network.file);
    if (sealed) file = std::move(*sealed);
  }
  const int fds[] = {file.fd()};
  const bool asked = connected && (network.file.empty() || file.fd() >= 0) &&
                     send_with_fds(desk_fd_, &call, sizeof call, {fds, network.file.empty() ? 0u : 1u});
  if (!asked) return leave(Error::kNoCapacity, "the data plane is busy: try again", now_ns);
  state_ = State::kCalling;
  by_ns_ = now_ns + kAnswerNs;
}

void NetworkPeer::look_for_answer(uint64_t now_ns) {
  CalibrationAnswer answer;
  ReceivedFds fds;
  const ssize_t got = receive_with_fds(desk_fd_, &answer, sizeof answer, fds);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got != sizeof answer) return leave(Error::kPlaneDown, "the data plane does not answer", now_ns);
  std::vector<std::byte> file;
  if (fds.count() == 1 && answer.bytes <= kLinkCalibrationBytesMax) {
    const auto sealed = SealedBytes::adopt(fds.take(0), answer.bytes);
    auto bytes = sealed ? sealed->read() : fail(Error::kPlaneDown);
    if (bytes) file = std::move(*bytes);
  }
  answer.text[sizeof answer.text - 1] = '\0';
  stream_.queue(frame_answer(static_cast<Error>(answer.error), answer.text, file));
  let_go();
  reason_ = "its call is answered";
  answered_ = true;
  state_ = State::kLeaving;
  by_ns_ = now_ns + kNetworkGreetingNs;  // as slow a link may bring a calibration
}

void NetworkPeer::check_time(uint64_t now_ns) {
  const bool watched = heard_ && state_ != State::kHandshake && state_ != State::kLeaving;
  if (watched && pulse_.silent(now_ns)) return gone("nothing was heard of it for a second");
  if (watched && pulse_.must_ask(now_ns)) stream_.queue(frame_ping(FrameType::kPing, now_ns));
  if (state_ == State::kUp || now_ns < by_ns_) {
    std::string sentence;
    if (state_ == State::kUp && local_.ended(sentence))
      leave(Error::kPlaneDown, "the data plane ended the link", now_ns);
    return;
  }
  switch (state_) {
    case State::kHandshake:
      return gone("it does not finish the TLS handshake");
    case State::kListening:
      return gone("it does not greet");
    case State::kAttaching:
    case State::kCalling:
      return leave(Error::kPlaneDown, "the data plane does not answer", now_ns);
    default:
      return gone(reason_);
  }
}

void NetworkPeer::waits(pollfd (&into)[3]) const {
  into[0] = {stream_.fd(), static_cast<short>(POLLIN | (stream_.wants_write() ? POLLOUT : 0)), 0};
  into[1] = {state_ == State::kCalling ? desk_fd_ : local_.socket_fd(), POLLIN, 0};
  into[2] = {state_ == State::kUp && has_room() ? local_.doorbell_fd() : -1, POLLIN, 0};
}

uint64_t NetworkPeer::next_ns() const {
  uint64_t next = state_ == State::kUp ? UINT64_MAX : by_ns_;
  if (heard_ && state_ != State::kLeaving) next = std::min(next, pulse_.next_ns());
  return next;
}

}  // namespace shadowserve
