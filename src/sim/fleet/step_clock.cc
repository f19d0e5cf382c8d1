// Steps that grow with what runs in them.
#include "sim/fleet/step_clock.h"

#include <cmath>

#include "contract/check.h"
#include "sim/fleet/fleet_events.h"

namespace shadowserve::fleet {
namespace {

// Events fall on whole nanoseconds; of a step of a millisecond that is a millionth.
constexpr double kSlackSteps = 1e-5;

}  // namespace

void StepClock::advance(int64_t now_ns) {
  const int64_t passed_ns = now_ns - updated_ns_;
  updated_ns_ = now_ns;
  if (step_ns_ <= 0) return;
  steps_ += static_cast<double>(passed_ns) / step_ns_;
  busy_ns_ += passed_ns;
  if (in_prefill()) prefill_ns_ += passed_ns;
}

void StepClock::settle() {
  if (heap_.empty() && !in_prefill()) {
    step_ns_ = 0;
    steps_ = 0;
    return;
  }
  const double sequences = static_cast<double>(heap_.size()) * parameters_->step_us_per_sequence * 1e3 +
                           static_cast<double>(context_tokens_) * parameters_->step_ns_per_context_token;
  // A step with prompt tokens reads the weights once for all: it is bound by its products or by that reading.
  const double weights = parameters_->step_ms * 1e6;
  step_ns_ = std::max({weights, in_prefill() ? prefill_step_ns_ : 0.0, 1.0}) + sequences;
}

void StepClock::begin_prefill(uint32_t tokens, double work_ns) {
  SS_CHECK(!in_prefill(), "one batch of prompts at a time");
  const double steps = std::ceil(static_cast<double>(tokens) / parameters_->step_tokens_max);
  prefill_end_ = steps_ + steps;
  prefill_step_ns_ = work_ns / steps;
  settle();
}

bool StepClock::end_prefill() {
  if (!in_prefill() || prefill_end_ > steps_ + kSlackSteps) return false;
  prefill_end_ = -1;
  settle();
  return true;
}

void StepClock::join(uint32_t request, uint32_t tokens, uint32_t context_tokens) {
  SS_CHECK(tokens > 0, "who joins has tokens to get");
  heap_.push_back({steps_ + tokens, request, joined_++, context_tokens});
  std::push_heap(heap_.begin(), heap_.end(), Later());
  context_tokens_ += context_tokens;
  settle();
}

bool StepClock::leave_one(uint32_t& request) {
  if (heap_.empty() || heap_.front().step > steps_ + kSlackSteps) return false;
  std::pop_heap(heap_.begin(), heap_.end(), Later());
  request = heap_.back().request;
  context_tokens_ -= heap_.back().context_tokens;
  heap_.pop_back();
  settle();
  return true;
}

int64_t StepClock::next_ns() const {
  double next = in_prefill() ? prefill_end_ : 1e300;
  if (!heap_.empty()) next = std::min(next, heap_.front().step);
  if (next >= 1e300) return kNever;
  return updated_ns_ + static_cast<int64_t>(std::ceil(std::max(next - steps_, 0.0) * step_ns_));
}

}  // namespace shadowserve::fleet
