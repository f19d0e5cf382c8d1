// Who asks what and when: conversations, documents with questions, or a trace.
#pragma once

#include <cstdint>
#include <memory>

#include "sim/fleet/fleet_options.h"
#include "sim/fleet/fleet_prompt.h"
#include "sim/fleet/fleet_trace.h"

namespace shadowserve::fleet {

/// One request.
struct Question {
  Prompt prompt;
  uint32_t answer_tokens = 1;
  uint32_t conversation = 0;  ///< for follow_ns() and question()
  uint64_t session = 0;       ///< requests that a sticky router sends to one engine
};

/// Draws every number from streams of its own, so that what is asked does not depend on how it is answered.
/// (When the next turn of a conversation is asked does, in one way: never before the answer to the turn
/// before it.)
class Workload {
 public:
  virtual ~Workload() = default;
  /// When somebody new asks; kNever when nobody will. The same until begin() is called.
  virtual int64_t next_begin_ns() const = 0;
  /// What he asks. REQUIRES next_begin_ns() != kNever.
  virtual Question begin() = 0;
  /// The answer is complete: when the conversation goes on, or kNever when it does not (its number may be
  /// given again).
  virtual int64_t follow_ns(uint32_t conversation, int64_t now_ns) = 0;
  /// What the conversation asks next.
  virtual Question question(uint32_t conversation) = 0;
};

/// Copies of a trace are spread over this, so that they do not ask in the same instant.
inline constexpr double kCopySpreadSeconds = 60;

/// `trace` is only read for WorkloadKind::kTrace and must outlive the workload.
std::unique_ptr<Workload> make_workload(const FleetOptions& options, const Trace* trace);
std::unique_ptr<Workload> make_chat_workload(const FleetOptions& options);
std::unique_ptr<Workload> make_document_workload(const FleetOptions& options);
std::unique_ptr<Workload> make_trace_workload(const FleetOptions& options, const Trace& trace);

}  // namespace shadowserve::fleet
