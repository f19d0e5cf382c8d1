// Stops asking a data plane that does not answer in time, and tries it again with one probe.
#pragma once

#include <cstdint>

#include "contract/error.h"
#include "world/clock.h"

namespace shadowserve {

/// Opens after kFailuresToOpen failures in a row; while it is open nothing is asked, so that no request waits
/// for a timeout. After kOpenNs one probe may pass: its outcome closes or re-opens. One thread.
class Breaker {
 public:
  static constexpr uint32_t kFailuresToOpen = 3;
  static constexpr uint64_t kOpenNs = 2'000 * kNsPerMs;

  enum class Pass : uint8_t { kFree, kProbe, kRefused };
  Pass ask(uint64_t now_ns) {
    if (failures_ < kFailuresToOpen) return Pass::kFree;
    if (probing_ || now_ns < refuse_until_ns_) return Pass::kRefused;
    probing_ = true;
    return Pass::kProbe;
  }
  /// How something that was asked ended; `was_probe` as ask() said.
  void ended(bool failed, bool was_probe, uint64_t now_ns) {
    if (was_probe) probing_ = false;
    failures_ = failed ? failures_ + 1 : 0;
    if (failures_ >= kFailuresToOpen) refuse_until_ns_ = now_ns + kOpenNs;
  }
  /// The probe was withdrawn before it ended: the next ask may probe.
  void probe_withdrawn() { probing_ = false; }

  /// Errors that cost the request its waiting time.
  static bool is_failure(Error error) { return error == Error::kDeadline || error == Error::kPlaneDown; }

 private:
  uint32_t failures_ = 0;
  bool probing_ = false;
  uint64_t refuse_until_ns_ = 0;
};

}  // namespace shadowserve
