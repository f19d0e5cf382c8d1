// Keeps a lane's slots going round, from part to part and from place to place.
#include "bench/lane_circle.h"

#include <fmt/format.h>

#include <ctime>

#include "command.h"

namespace shadowserve {
namespace {

constexpr uint32_t kSpinUs = 30;  // as the plane's own default

uint64_t thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

class LaneCircle::AgainStage final : public Stage {
 public:
  explicit AgainStage(LaneCircle& circle) : circle_(circle) {}
  std::string_view name() const override { return "again"; }
  uint32_t step(uint64_t now_ns) override {
    uint32_t moved = 0, index = 0;
    for (; circle_.fetched_->pop(index); ++moved) {
      Slot& slot = circle_.pool_.at(index);
      counters_.slots.add(1);
      counters_.bytes_out.add(slot.shape.value_bytes());
      if (slot.error != Error::kNone) error_.store(slot.error, std::memory_order_relaxed);
      slot.error = Error::kNone;
      slot.queued_ns = now_ns;
      circle_.send_to_next_part(slot);
      circle_.lane_->to_receive.push(slot);
    }
    if (moved > 0) cpu_ns_.store(thread_cpu_ns(), std::memory_order_relaxed);
    return moved;
  }
  Error error() const { return error_.load(std::memory_order_relaxed); }
  uint64_t cpu_ns() const { return cpu_ns_.load(std::memory_order_relaxed); }

 private:
  LaneCircle& circle_;
  std::atomic<Error> error_{Error::kNone};
  std::atomic<uint64_t> cpu_ns_{0};
};

LaneCircle::LaneCircle(PipelineBench& bench, int core, bool separate_stages)
    : clock_(bench.clock()), loop_(kThreadName, core, kSpinUs, bench.clock()) {
  const uint32_t slots = bench.options().fetch_slots;
  auto pool = SlotPool::create(slots, 1);
  if (!pool) throw StartError(fmt::format("no memory for {} slots", slots));
  pool_ = std::move(*pool);
  pool_.pin();
  const BenchInput& input = bench.input();
  open_bench_session(session_, input.geometry(), bench.choice(), *bench.staging(), 64);
  stride_ = (part_shape(input.geometry(), 0).value_bytes() + 63) / 64 * 64;
  places_ = bench.staging()->size() / stride_;
  for (uint32_t part = 0; part < input.parts(); ++part) {
    parts_.push_back({input.part(part), bench_key(bench.profile(), part / input.geometry().parts()),
                      input.chunk_of(part)});
  }
  fetched_ = std::make_unique<Pipe>(pool_.size(), loop_.doorbell());
  again_ = std::make_unique<AgainStage>(*this);
  loop_.add(*again_);  // first, as the plane's answers are
  lane_ = std::make_unique<Lane>(pool_, clock_, loop_, bench.store().client(clock_, slots), separate_stages);
  lane_->add_fetched(*fetched_);
  lane_->add_compressed(*fetched_);
  for (uint32_t i = 0; i < slots; ++i) {
    Slot& slot = *pool_.take(/*saving=*/false);
    slot.session = &session_;
    slot.request.op = LinkOp::kFetch;
    slot.request.deadline_ns = UINT64_MAX;
    send_to_next_part(slot);
    lane_->to_receive.push(slot);
  }
  loop_.start();
}

LaneCircle::~LaneCircle() { loop_.stop(); }

void LaneCircle::send_to_next_part(Slot& slot) {
  const uint64_t number = number_++;
  const Part& part = parts_[number % parts_.size()];
  slot.shape = part.shape;
  slot.request.part = part.shape.part;
  slot.request.key = part.key;
  slot.request.set_chunk_index(part.chunk);
  slot.request.staging_offset = number % places_ * stride_;
}

LaneTally LaneCircle::tally() const {
  LaneTally tally{again_->counters().slots.read(), again_->counters().bytes_out.read(), again_->cpu_ns(), {}};
  for (const Stage* stage : loop_.stages()) {
    if (stage != again_.get()) {
      tally.busy_ns.emplace_back(std::string(stage->name()), stage->counters().busy_ns.read());
    }
  }
  return tally;
}

void LaneCircle::expect_no_failure() const {
  if (again_->error() != Error::kNone)
    throw StartError(fmt::format("lane: {}", error_sentence(again_->error())));
}

}  // namespace shadowserve
