// A recorded trace, as often as asked for: copies have other keys, and come some seconds later.
#include <algorithm>
#include <numeric>

#include "sim/fleet/fleet_events.h"
#include "sim/fleet/fleet_workload.h"

namespace shadowserve::fleet {
namespace {

class TraceWorkload final : public Workload {
 public:
  TraceWorkload(const FleetOptions& options, const Trace& trace)
      : trace_(trace),
        block_chunks_(options.workload.trace_block_tokens / kChunkTokens),
        run_chunks_(options.store.run_chunks),
        copies_(options.workload.trace_copies) {
    RandomStream stream(options.seed, "trace copies");
    for (uint32_t copy = 0; copy < copies_; ++copy) {
      const double shift_s = copy == 0 ? 0 : kCopySpreadSeconds * stream.uniform();
      shifts_.push_back(static_cast<int64_t>(shift_s * kNsPerSecond));
      const uint64_t salt = copy == 0 ? 0x7ace : stream.next();
      salts_.push_back(salt);
      for (const uint64_t id : trace.block_ids) keys_.push_back(mixed(salt, id));
    }
    merge();
  }

  int64_t next_begin_ns() const override { return next_ < order_.size() ? order_[next_].at_ns : kNever; }

  Question begin() override {
    const Place place = order_[next_++];
    const TraceRequest& asked = trace_.requests[place.request];
    Question made;
    made.prompt.input_tokens = asked.input_tokens;
    made.answer_tokens = asked.output_tokens;
    if (asked.blocks > 0) {
      made.prompt.keys = keys_.data() + place.copy * trace_.block_ids.size() + asked.first_block;
      made.prompt.key_count = asked.blocks;
      made.prompt.run_chunks = block_chunks_;
      made.session = made.prompt.keys[std::min(1u, asked.blocks - 1)];  // behind a shared first block
    } else {
      made.prompt.body = made.session = mixed(salts_[place.copy], asked.conversation);
      made.prompt.run_chunks = run_chunks_;
    }
    return made;
  }

  int64_t follow_ns(uint32_t, int64_t) override { return kNever; }
  Question question(uint32_t) override { return {}; }

 private:
  struct Place {
    int64_t at_ns = 0;
    uint32_t copy = 0, request = 0;
  };

  void merge() {
    for (uint32_t copy = 0; copy < copies_; ++copy) {
      for (uint32_t request = 0; request < trace_.requests.size(); ++request) {
        order_.push_back({trace_.requests[request].arrival_ns + shifts_[copy], copy, request});
      }
    }
    std::stable_sort(order_.begin(), order_.end(),
                     [](const Place& left, const Place& right) { return left.at_ns < right.at_ns; });
  }

  const Trace& trace_;
  const uint32_t block_chunks_, run_chunks_, copies_;
  std::vector<int64_t> shifts_;
  std::vector<uint64_t> salts_, keys_;
  std::vector<Place> order_;
  size_t next_ = 0;
};

}  // namespace

std::unique_ptr<Workload> make_trace_workload(const FleetOptions& options, const Trace& trace) {
  return std::make_unique<TraceWorkload>(options, trace);
}

std::unique_ptr<Workload> make_workload(const FleetOptions& options, const Trace* trace) {
  switch (options.workload.kind) {
    case WorkloadKind::kChat:
      return make_chat_workload(options);
    case WorkloadKind::kDocuments:
      return make_document_workload(options);
    case WorkloadKind::kTrace:
      break;
  }
  return make_trace_workload(options, *trace);
}

}  // namespace shadowserve::fleet
