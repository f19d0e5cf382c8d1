// Stops asking a data plane that does not answer in time, and tries it again.
#pragma once

#include <cstdint>

#include "contract/error.h"
#include "world/clock.h"

namespace shadowserve {

/// Opens after kFailuresToOpen lookups or as many fetches in a row that failed; while it is open nothing is
/// asked, so that no request waits for a timeout. The two are counted apart: lookups go well where a rank
/// whose link is down lets every fetch fail. After kOpenNs one lookup may pass as a probe: its outcome closes
/// or re-opens. Where fetches failed all may pass then, until one of their fetches has ended. One thread.
class Breaker {
 public:
  static constexpr uint32_t kFailuresToOpen = 3;
  static constexpr uint64_t kOpenNs = 2'000 * kNsPerMs;

  enum class Pass : uint8_t { kFree, kProbe, kRefused };
  Pass ask(uint64_t now_ns) {
    const bool lookups_fail = lookups_failed_ >= kFailuresToOpen;
    if (!lookups_fail && fetches_failed_ < kFailuresToOpen) return Pass::kFree;
    if (now_ns < refuse_until_ns_) return Pass::kRefused;
    if (!lookups_fail) return Pass::kFree;
    if (probing_) return Pass::kRefused;
    probing_ = true;
    return Pass::kProbe;
  }
  /// How a lookup ended; `was_probe` as ask() said.
  void lookup_ended(bool failed, bool was_probe, uint64_t now_ns) {
    if (was_probe) probing_ = false;
    count(lookups_failed_, failed, now_ns);
  }
  void fetch_ended(bool failed, uint64_t now_ns) { count(fetches_failed_, failed, now_ns); }
  /// The probe was withdrawn before it ended: the next ask may probe.
  void probe_withdrawn() { probing_ = false; }

  /// Errors that cost the request its waiting time.
  static bool is_failure(Error error) { return error == Error::kDeadline || error == Error::kPlaneDown; }

 private:
  void count(uint32_t& failures, bool failed, uint64_t now_ns) {
    failures = failed ? failures + 1 : 0;
    if (failures >= kFailuresToOpen) refuse_until_ns_ = now_ns + kOpenNs;
  }

  uint32_t lookups_failed_ = 0, fetches_failed_ = 0;
  bool probing_ = false;
  uint64_t refuse_until_ns_ = 0;
};

}  // namespace shadowserve
