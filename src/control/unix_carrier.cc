// The socket is silent once the link is up: it is looked at now and then, and only to see it close.
#include "control/unix_carrier.h"

namespace shadowserve {
namespace {

// How often an otherwise busy thread looks at the socket; a sleeping one is woken by it.
constexpr uint64_t kLookEveryNs = kNsPerMs;

}  // namespace

bool UnixCarrier::connect(const std::string& path) { return attachment_.connect(path, reason_).has_value(); }

bool UnixCarrier::greet(const LinkHello& hello, std::span<const int> fds, uint64_t now_ns) {
  welcome_by_ns_ = now_ns + kWelcomeTimeoutNs;
  if (attachment_.greet(hello, fds)) return true;
  reason_ = "it did not take the greeting";
  return false;
}

LinkCarrier::State UnixCarrier::step(uint64_t now_ns) {
  if (!up_) return read_welcome(now_ns);
  if (now_ns < look_at_ns_) return State::kUp;
  look_at_ns_ = now_ns + kLookEveryNs;
  return attachment_.ended(reason_) ? State::kGone : State::kUp;
}

LinkCarrier::State UnixCarrier::read_welcome(uint64_t now_ns) {
  switch (attachment_.read_welcome(reason_)) {
    case LocalAttachment::Greeting::kPending:
      return now_ns >= welcome_by_ns_ ? gone("it does not answer the greeting") : State::kGreeting;
    case LocalAttachment::Greeting::kUp:
      up_ = true;
      return State::kUp;
    case LocalAttachment::Greeting::kRefused:
      return State::kRefused;
    case LocalAttachment::Greeting::kBroken:
      return State::kGone;
  }
  return State::kGone;
}

}  // namespace shadowserve
