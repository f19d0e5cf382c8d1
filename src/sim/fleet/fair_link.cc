// Flows in the order of their ends on the virtual clock.
#include "sim/fleet/fair_link.h"

#include <cmath>

#include "sim/fleet/fleet_events.h"

namespace shadowserve::fleet {
namespace {

// Ends are rounded up to a nanosecond: a flow may be seen this many bytes early by the sums of doubles.
constexpr double kSlackBytes = 1e-3;

}  // namespace

void FairLink::advance(int64_t now_ns) {
  if (!heap_.empty() && rate_ > 0) {
    const int64_t passed_ns = now_ns - updated_ns_;
    virtual_ += rate_ * static_cast<double>(passed_ns) / kNsPerSecond / static_cast<double>(heap_.size());
    busy_ns_ += passed_ns;
  }
  updated_ns_ = now_ns;
}

void FairLink::add(int64_t now_ns, uint32_t flow, uint64_t bytes) {
  advance(now_ns);
  if (heap_.empty()) virtual_ = 0;  // keeps the clock's digits for what is on the link now
  heap_.push_back({virtual_ + static_cast<double>(bytes), bytes, joined_++, flow});
  std::push_heap(heap_.begin(), heap_.end(), Later());
}

uint64_t FairLink::remove(int64_t now_ns, uint32_t flow) {
  advance(now_ns);
  const auto found =
      std::find_if(heap_.begin(), heap_.end(), [&](const Flow& each) { return each.flow == flow; });
  if (found == heap_.end()) return 0;
  const double left = std::clamp(found->end - virtual_, 0.0, static_cast<double>(found->bytes));
  const uint64_t came = found->bytes - static_cast<uint64_t>(std::ceil(left));
  *found = heap_.back();
  heap_.pop_back();
  std::make_heap(heap_.begin(), heap_.end(), Later());
  carried_bytes_ += came;
  return came;
}

void FairLink::set_rate(int64_t now_ns, double bytes_per_s) {
  advance(now_ns);
  rate_ = bytes_per_s;
}

int64_t FairLink::next_end_ns() const {
  if (heap_.empty() || rate_ <= 0) return kNever;
  const double left = std::max(heap_.front().end - virtual_, 0.0);
  return updated_ns_ +
         static_cast<int64_t>(std::ceil(left * static_cast<double>(heap_.size()) / rate_ * kNsPerSecond));
}

bool FairLink::end_one(int64_t now_ns, Ended& ended) {
  advance(now_ns);
  if (heap_.empty() || heap_.front().end > virtual_ + kSlackBytes) return false;
  std::pop_heap(heap_.begin(), heap_.end(), Later());
  ended = {heap_.back().flow, heap_.back().bytes};
  heap_.pop_back();
  carried_bytes_ += ended.bytes;
  return true;
}

int64_t FairLink::busy_ns(int64_t now_ns) const {
  return busy_ns_ + (heap_.empty() || rate_ <= 0 ? 0 : now_ns - updated_ns_);
}

}  // namespace shadowserve::fleet
