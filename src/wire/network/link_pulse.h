// Keep-alive of the link across machines: when to ask whether the other side is there, and when it is not.
#pragma once

#include <algorithm>
#include <cstdint>

#include "contract/limits.h"

namespace shadowserve {

/// Fed with the times at which bytes came. Either side has one of its own.
class LinkPulse {
 public:
  void start(uint64_t now_ns) { heard_ns_ = asked_ns_ = now_ns; }
  /// Any byte will do: also the middle of a long frame says that somebody sends it.
  void heard(uint64_t now_ns) { heard_ns_ = asked_ns_ = now_ns; }
  /// True every kLinkPingNs of silence: send a ping.
  bool must_ask(uint64_t now_ns) {
    if (now_ns < asked_ns_ + kLinkPingNs) return false;
    asked_ns_ = now_ns;
    return true;
  }
  bool silent(uint64_t now_ns) const { return now_ns >= heard_ns_ + kLinkSilenceNs; }
  /// When one of the two becomes true.
  uint64_t next_ns() const { return std::min(asked_ns_ + kLinkPingNs, heard_ns_ + kLinkSilenceNs); }

 private:
  uint64_t heard_ns_ = 0;
  uint64_t asked_ns_ = 0;
};

}  // namespace shadowserve
