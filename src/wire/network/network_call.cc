// Blocking by design, with poll(): it runs when an engine starts, or for a command.
#include "wire/network/network_call.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "wire/network/tls_stream.h"
#include "world/clock.h"

namespace shadowserve {
namespace {

constexpr int kRetryMs = 50;

int ms_until(uint64_t deadline_ns) {
  const uint64_t now = MonotonicClock().now_ns();
  return now >= deadline_ns
             ? 0
             : static_cast<int>(std::min<uint64_t>((deadline_ns - now) / kNsPerMs + 1, 60'000));
}

struct Outcome {
  bool answered = false;
  bool worth_another_try = false;
  Error error = Error::kPlaneDown;
  std::vector<std::byte> file;
};

/// One connection: until the answer, its end, or the deadline.
Outcome try_once(const PlaneEndpoint& plane, const SocketAddress& address,
                 std::span<const std::byte> question, uint64_t deadline_ns, std::string& message) {
  Outcome outcome;
  const int fd = start_connect_tcp(address);
  if (fd < 0) {
    message = std::strerror(errno);
    outcome.worth_another_try = true;
    return outcome;
  }
  TlsStream stream(fd, *plane.identity, plane.name);
  FrameReader reader(FrameSide::kEngine);
  stream.queue(question);
  for (;;) {
    const ssize_t got = stream.step() ? stream.read(reader.room()) : -1;
    if (got < 0) {
      message = stream.reason();
      outcome.worth_another_try = stream.never_connected();
      return outcome;
    }
    reader.took(static_cast<size_t>(got));
    FrameEvent event = reader.next();
    for (; event == FrameEvent::kFrame; event = reader.next()) {
      if (reader.type() == FrameType::kPing)
        stream.queue(frame_ping(FrameType::kPong, read_ping(reader.payload())));
      if (reader.type() == FrameType::kGoodbye) {
        const NetworkGoodbye goodbye = read_goodbye(reader.payload());
        message = goodbye.sentence;
        outcome.error = goodbye.error == Error::kNone ? Error::kPlaneDown : goodbye.error;
        return outcome;
      }
      if (reader.type() != FrameType::kAnswer) continue;
      const NetworkAnswer answer = read_answer(reader.payload());
      outcome.answered = answer.error == Error::kNone;
      outcome.error = answer.error;
      outcome.file.assign(answer.file.begin(), answer.file.end());
      message = answer.sentence;
      return outcome;
    }
    if (event != FrameEvent::kMore) {
      message = "it is of another version or not a data plane";
      return outcome;
    }
    if (got > 0) continue;
    if (ms_until(deadline_ns) == 0) {
      message = "it does not answer in time";
      return outcome;
    }
    pollfd wait{stream.fd(), static_cast<short>(POLLIN | (stream.wants_write() ? POLLOUT : 0)), 0};
    poll(&wait, 1, std::min(ms_until(deadline_ns), kRetryMs));
  }
}

}  // namespace

Result<std::vector<std::byte>> call_plane(const PlaneEndpoint& plane, const NetworkCall& call,
                                          uint64_t deadline_ns, std::string& message) {
  const std::vector<std::byte> question = frame_call(call);
  for (size_t attempt = 0;; ++attempt) {
    const SocketAddress& address = plane.sockets[attempt % plane.sockets.size()];
    Outcome outcome = try_once(plane, address, question, deadline_ns, message);
    if (outcome.answered) return std::move(outcome.file);
    const bool plane_spoke = outcome.error != Error::kPlaneDown;
    if (plane_spoke) return fail(outcome.error);
    if (!outcome.worth_another_try || ms_until(deadline_ns) == 0) break;
    poll(nullptr, 0, std::min(kRetryMs, ms_until(deadline_ns)));
  }
  message = fmt::format("the data plane at {} gives no answer: {}", plane.text, message);
  return fail(Error::kPlaneDown);
}

}  // namespace shadowserve
