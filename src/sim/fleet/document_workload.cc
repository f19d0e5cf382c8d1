// Single questions behind documents, some of which are asked about far more often than others.
#include <algorithm>
#include <cmath>

#include "sim/fleet/arrival_clock.h"
#include "sim/fleet/fleet_events.h"
#include "sim/fleet/fleet_workload.h"

namespace shadowserve::fleet {
namespace {

class DocumentWorkload final : public Workload {
 public:
  explicit DocumentWorkload(const FleetOptions& options)
      : seed_(options.seed),
        load_(options.workload),
        run_chunks_(options.store.run_chunks),
        begins_(seed_, "questions", 1 / (load_.requests_per_engine_s * options.engines)),
        ranks_(std::max(1u, static_cast<uint32_t>(std::lround(load_.documents_per_engine * options.engines))),
               load_.zipf) {}

  int64_t next_begin_ns() const override { return begins_.next_ns(); }

  Question begin() override {
    RandomStream stream(seed_, "question", serial_);
    const uint32_t document = ranks_.draw(stream);
    const double room = load_.context_tokens_max;
    const double document_max = std::max<double>(kChunkTokens, room - 2 * kChunkTokens);
    const double length = std::clamp<double>(
        std::round(
            RandomStream(seed_, "document", document).lognormal(load_.document_tokens, load_.document_sigma)),
        kChunkTokens, document_max);
    const double asked = std::clamp(std::round(stream.lognormal(load_.question_tokens, load_.question_sigma)),
                                    1.0, std::max(1.0, room - length - kChunkTokens));
    const double answered = std::clamp(std::round(stream.lognormal(load_.answer_tokens, load_.answer_sigma)),
                                       1.0, std::max(1.0, room - length - asked));
    Question made;
    made.prompt.prefix = mixed(0xd0c5, document);
    made.prompt.prefix_chunks = static_cast<uint32_t>(length) / kChunkTokens;
    made.prompt.body = mixed(0xa5ced, serial_);
    made.prompt.run_chunks = run_chunks_;
    made.prompt.input_tokens = static_cast<uint32_t>(length + asked);
    made.answer_tokens = static_cast<uint32_t>(answered);
    made.session = document;
    ++serial_;
    begins_.advance();
    return made;
  }

  int64_t follow_ns(uint32_t, int64_t) override { return kNever; }
  Question question(uint32_t) override { return {}; }

 private:
  const uint64_t seed_;
  const WorkloadOptions load_;
  const uint32_t run_chunks_;
  ArrivalClock begins_;
  const ZipfRanks ranks_;
  uint64_t serial_ = 0;
};

}  // namespace

std::unique_ptr<Workload> make_document_workload(const FleetOptions& options) {
  return std::make_unique<DocumentWorkload>(options);
}

}  // namespace shadowserve::fleet
