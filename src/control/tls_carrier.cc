// Requests wait here, not in the kernel: what is late by the time the link has room is answered without being
// sent.
#include "control/tls_carrier.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace shadowserve {
namespace {

// What may lie encrypted or nearly so before the next batch is made. On a fast link it never fills; on a slow
// one deadlines are looked at as late as possible.
constexpr size_t kQueuedMax = 16u << 10;
constexpr int kReadsPerTurn = 8;

}  // namespace

TlsCarrier::TlsCarrier(const PlaneEndpoint& endpoint, const Clock& clock, const LinkHello& hello,
                       std::shared_ptr<const CalibrationFile> calibration, TakeStaging take_staging)
    : endpoint_(endpoint),
      clock_(clock),
      hello_(hello),
      calibration_(std::move(calibration)),
      take_staging_(std::move(take_staging)),
      requests_(kLinkRingEntries),
      replies_(kLinkRingEntries) {}

bool TlsCarrier::connect(size_t attempt) {
  const int fd = start_connect_tcp(endpoint_.sockets[attempt % endpoint_.sockets.size()]);
  if (fd < 0) {
    reason_ = std::strerror(errno);
    return false;
  }
  stream_ = TlsStream(fd, *endpoint_.identity, endpoint_.name);
  greeted_by_ns_ = clock_.now_ns() + kGreetingNs;
  return true;
}

// Memory is announced before the hello goes out: who gets the hello finds it at the window.
bool TlsCarrier::greet(uint64_t now_ns) {
  NetworkHello hello{hello_, {}, {}};
  std::vector<std::byte> calibration;
  if (hello_.calibration_bytes > 0) {
    auto file = calibration_->bytes.read();
    if (!file) {
      reason_ = "no memory for the calibration";
      return false;
    }
    calibration = std::move(*file);
    hello.calibration = calibration;
  }
  if (hello_.staging_bytes > 0) {
    const SharedRegion* const staging = take_staging_();
    reason_ = "no memory for the staging region";
    if (staging == nullptr) return false;
    auto window = WindowExport::announce(endpoint_.window, *staging, hello_.staging_bytes, reason_);
    if (!window) return false;
    window_ = std::move(*window);
    hello.window = window_.handle();
  }
  greeted_by_ns_ = now_ns + (calibration.empty() ? kGreetingNs : kNetworkGreetingNs);
  pulse_.start(now_ns);
  return stream_.queue(frame_hello(hello));
}

LinkCarrier::State TlsCarrier::step(uint64_t now_ns) {
  if (!stream_.step()) return gone(stream_.reason());
  if (stream_.ready() && !secure_) {
    secure_ = true;
    if (!greet(clock_.now_ns())) return State::kGone;
    if (!stream_.step()) return gone(stream_.reason());
    now_ns = clock_.now_ns();  // taking memory takes a moment
  }
  if (secure_) {
    if (const State state = read_frames(now_ns); state != state_) {
      if (state != State::kUp) return state;
      state_ = state;
      window_ = {};  // taken
    }
    if (pulse_.silent(now_ns)) return gone("nothing was heard of it for a second");
    if (pulse_.must_ask(now_ns)) stream_.queue(frame_ping(FrameType::kPing, now_ns));
  }
  if (state_ == State::kGreeting && now_ns >= greeted_by_ns_) {
    return gone(secure_ ? "it does not answer the greeting" : "nothing answers there");
  }
  ring();
  return stream_.open() ? state_ : gone(stream_.reason());
}

LinkCarrier::State TlsCarrier::read_frames(uint64_t now_ns) {
  more_ = false;
  // So few in one turn that replies are placed in between, and that nobody can keep the thread here.
  for (int turns = 0;; ++turns) {
    for (FrameEvent event = reader_.next(); event != FrameEvent::kMore; event = reader_.next()) {
      if (event == FrameEvent::kOtherVersion) {
        return gone(fmt::format("it speaks version {} of the link across machines, this engine {}",
                                reader_.version(), kNetworkVersion));
      }
      if (event == FrameEvent::kBroken) return gone("it broke the link protocol");
      if (const State state = frame_came(); state != state_) {
        more_ = true;
        return state;
      }
    }
    if (turns == kReadsPerTurn) {
      more_ = true;
      break;
    }
    const ssize_t got = stream_.read(reader_.room());
    if (got < 0) return gone(stream_.reason());
    if (got == 0) break;
    pulse_.heard(now_ns);
    reader_.took(static_cast<size_t>(got));
  }
  return state_;
}

LinkCarrier::State TlsCarrier::frame_came() {
  const std::span<const std::byte> payload = reader_.payload();
  switch (reader_.type()) {
    case FrameType::kWelcome: {
      const NetworkWelcome welcome = read_welcome(payload);
      if (state_ != State::kGreeting || welcome.ring_entries == 0) return gone("it broke the link protocol");
      ring_entries_ = std::min(welcome.ring_entries, kLinkRingEntries);
      session_ = welcome.session;
      return State::kUp;
    }
    case FrameType::kReplies:
      if (state_ != State::kUp) return gone("it broke the link protocol");
      for (size_t i = 0; i < payload.size() / sizeof(LinkReply); ++i) {
        // As many as were asked for fit.
        if (!replies_->push(read_reply(payload, i))) return gone("it answers what nobody asked");
      }
      return state_;
    case FrameType::kPing:
      stream_.queue(frame_ping(FrameType::kPong, read_ping(payload)));
      return state_;
    case FrameType::kGoodbye: {
      const NetworkGoodbye goodbye = read_goodbye(payload);
      reason_ = goodbye.sentence;
      return state_ == State::kGreeting && goodbye.error != Error::kNone ? State::kRefused : State::kGone;
    }
    default:
      return state_;
  }
}

bool TlsCarrier::submit(const LinkRequest& request) { return requests_->push(request); }

void TlsCarrier::ring() {
  if (state_ != State::kUp || !stream_.open()) return;
  const uint64_t now = clock_.now_ns();
  while (send_requests(now)) {
  }
  // A connection that is gone shows at the next step().
  if (stream_.queued() > 0) stream_.step();
}

bool TlsCarrier::send_requests(uint64_t now_ns) {
  if (stream_.queued() >= kQueuedMax || requests_->empty()) return false;
  std::array<LinkRequest, kBatchMax> some;
  size_t count = 0;
  for (LinkRequest request; count < some.size() && requests_->pop(request);) {
    if (request.deadline_ns > now_ns) {
      some[count++] = request;
      continue;
    }
    LinkReply late;
    late.ticket = request.ticket;
    late.op = request.op;
    late.error = static_cast<uint8_t>(Error::kDeadline);
    replies_->push(late);
  }
  if (count > 0) stream_.queue(frame_requests(std::span(some).first(count), now_ns, batch_));
  return count > 0;
}

uint64_t TlsCarrier::next_step_ns() const {
  uint64_t next = secure_ ? pulse_.next_ns() : UINT64_MAX;
  if (state_ == State::kGreeting) next = std::min(next, greeted_by_ns_);
  return next;
}

}  // namespace shadowserve
