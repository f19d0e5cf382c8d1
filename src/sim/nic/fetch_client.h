// The engine at the other end of a simulated plane.
#pragma once

#include <string>
#include <vector>

#include "plane/session.h"
#include "sim/nic/fetch_simulation.h"
#include "wire/link_message.h"

namespace shadowserve::nic {

/// Asks for part after part, so many at once, and takes no time itself.
class FetchClient {
 public:
  static constexpr uint32_t kRingEntries = 256;

  /// `records` and `plan` must outlive it.
  FetchClient(const RecordSet& records, const FetchPlan& plan, uint32_t window);

  Result<void> attach(Session& session, std::string& message);
  /// Takes answers and fills the window. True when it asked for something.
  bool pump(uint64_t now_ns);
  bool finished() const { return outcome.answered == answers_.size(); }
  /// The pipeline has filled, and what is measured has not all been answered.
  bool measuring() const { return outcome.answered >= plan_.warm_parts && outcome.answered < plan_.parts; }

  FetchOutcome outcome;
  double begun_ns = 0, measured_from_ns = 0, measured_to_ns = 0, last_ns = 0;
  double measured_values = 0, measured_wire = 0;  ///< bytes of values, and of the records that they were
  std::vector<double> part_ms;

 private:
  struct Answer {
    uint64_t asked_ns = 0;
    uint32_t count = 0;
  };
  void ask(uint64_t number, uint64_t now_ns);
  void take(const LinkReply& reply, uint64_t now_ns);

  const RecordSet& records_;
  const FetchPlan& plan_;
  uint32_t window_, places_;  // places in staging memory
  size_t stride_ = 0;
  std::vector<Answer> answers_;
  SharedRegion staging_;
  RequestRing requests_;
  ReplyRing replies_;
};

}  // namespace shadowserve::nic
