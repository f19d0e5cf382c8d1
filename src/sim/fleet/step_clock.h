// An engine's time as its scheduler counts it: in steps, each as long as what runs in it makes it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace shadowserve::fleet {

/// What an engine's steps cost, and what its memory holds.
struct EngineParameters {
  double prefill_us_per_token = 0;       ///< matrix products of a token
  double prefill_ps_per_token2 = 0;      ///< attention of a token over a token before it, picoseconds
  double step_ms = 0;                    ///< reading the weights once, launching, scheduling
  double step_us_per_sequence = 0;       ///< of a running sequence
  double step_ns_per_context_token = 0;  ///< reading a token's KV
  uint32_t step_tokens_max = 0;          ///< chunked prefill: prompt tokens of one step
  uint32_t running_max = 0;              ///< requests with pages
  uint32_t kv_tokens = 0;                ///< what the pages hold
  double dollars_per_hour = 0;

  /// Prefill of `tokens` behind `before` others, alone, in ns.
  double prefill_ns(double tokens, double before) const {
    const double end = before + tokens;
    return tokens * prefill_us_per_token * 1e3 + (end * end - before * before) * prefill_ps_per_token2 * 1e-3;
  }
};

/// Running requests get one token a step; prompts take a number of steps, which are longer for them. While
/// nothing joins or leaves all steps are equally long, so that ends are known in steps beforehand and only
/// joining and leaving are events. One thread.
class StepClock {
 public:
  /// Not owned; must outlive *this.
  explicit StepClock(const EngineParameters* parameters) : parameters_(parameters) {}

  /// Counts the steps since the last call. Everything below is about this moment.
  void advance(int64_t now_ns);
  /// Starts on prompts of `tokens` new tokens in all, whose prefill alone would take `work_ns`. REQUIRES
  /// !in_prefill().
  void begin_prefill(uint32_t tokens, double work_ns);
  bool in_prefill() const { return prefill_end_ >= 0; }
  /// True once, when the prompts that were begun are through.
  bool end_prefill();
  /// A request that is to get `tokens` (at least 1) more tokens and has `context_tokens` on average
  /// meanwhile.
  void join(uint32_t request, uint32_t tokens, uint32_t context_tokens);
  /// True, and a request, as long as one has got its last token.
  bool leave_one(uint32_t& request);
  /// When a prompt is through or a request leaves, if nothing changes; kNever when idle.
  int64_t next_ns() const;

  void prefetch() const { __builtin_prefetch(heap_.data()); }
  size_t sequences() const { return heap_.size(); }
  double step_ns() const { return step_ns_; }
  int64_t busy_ns() const { return busy_ns_; }
  int64_t prefill_ns() const { return prefill_ns_; }

 private:
  struct Leaving {
    double step = 0;
    uint32_t request = 0, order = 0, context_tokens = 0;
  };
  struct Later {
    bool operator()(const Leaving& left, const Leaving& right) const {
      return left.step != right.step ? left.step > right.step : left.order > right.order;
    }
  };
  void settle();

  const EngineParameters* parameters_;
  double steps_ = 0, step_ns_ = 0;
  double prefill_end_ = -1, prefill_step_ns_ = 0;  // in steps; what the prompts add to one
  uint64_t context_tokens_ = 0;
  int64_t updated_ns_ = 0, busy_ns_ = 0, prefill_ns_ = 0;
  uint32_t joined_ = 0;
  std::vector<Leaving> heap_;
};

}  // namespace shadowserve::fleet
