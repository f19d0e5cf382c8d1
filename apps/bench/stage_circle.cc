// Makes stages by kind and keeps their slots going round.
#include "bench/stage_circle.h"

#include <fmt/format.h>

#include <array>

#include "command.h"
#include "plane/compress/compress_stage.h"
#include "plane/copy_stage.h"
#include "plane/decompress/decompress_stage.h"
#include "plane/dequantize/dequantize_stage.h"
#include "plane/quantize/quantize_stage.h"
#include "plane/receive/receive_stage.h"
#include "plane/send/send_stage.h"
#include "plane/unpack/unpack_stage.h"

namespace shadowserve {
namespace {

constexpr uint32_t kSpinUs = 30;  // as the plane's own default
constexpr std::array<std::string_view, 10> kNames = {"null",     "receive", "decompress", "dequantize",
                                                     "deliver",  "unpack",  "collect",    "quantize",
                                                     "compress", "send"};

class NullStage final : public SlotStage {
 public:
  using SlotStage::SlotStage;
  std::string_view name() const override { return "null"; }

 protected:
  void begin(Slot& slot) override { finish(slot); }
};

}  // namespace

std::string_view stage_kind_name(StageKind kind) { return kNames[static_cast<size_t>(kind)]; }

class StageCircle::AgainStage final : public Stage {
 public:
  AgainStage(StageCircleParts& parts, Pipe& from, Pipe& into) : parts_(parts), from_(from), into_(into) {}
  std::string_view name() const override { return "again"; }
  uint32_t step(uint64_t) override {
    uint32_t moved = 0, index = 0;
    for (; from_.pop(index); ++moved) {
      Slot& slot = parts_.pool.at(index);
      counters_.slots.add(1);
      counters_.bytes_in.add(slot.record_bytes);
      counters_.bytes_out.add(slot.shape.value_bytes());
      if (slot.error != Error::kNone) {
        first_error_.store(slot.error, std::memory_order_relaxed);
        slot.error = Error::kNone;
      }
      if (parts_.next) parts_.next(slot);
      into_.push(slot);
    }
    return moved;
  }
  Error first_error() const { return first_error_.load(std::memory_order_relaxed); }

 private:
  StageCircleParts& parts_;
  Pipe& from_;
  Pipe& into_;
  std::atomic<Error> first_error_{Error::kNone};
};

StageCircle::StageCircle(StageCircleParts parts)
    : parts_(std::move(parts)),
      loop_("ss-bench", parts_.core, kSpinUs, parts_.clock),
      in_(parts_.pool.size(), loop_.doorbell()),
      out_(parts_.pool.size(), loop_.doorbell()),
      inflate_(std::make_unique<HostInflateEngine>(workspace_)),
      stage_(make_stage()),
      again_(std::make_unique<AgainStage>(parts_, out_, in_)) {
  stage_->add_input(in_);
  stage_->add_output(out_);
  loop_.add(*stage_);
  loop_.add(*again_);
  for (const uint32_t index : parts_.slots) in_.push(parts_.pool.at(index));
}

StageCircle::~StageCircle() { loop_.stop(); }

std::unique_ptr<SlotStage> StageCircle::make_stage() {
  SlotPool& pool = parts_.pool;
  const Clock& clock = parts_.clock;
  switch (parts_.kind) {
    case StageKind::kReceive:
      return std::make_unique<ReceiveStage>(pool, clock, *parts_.store);
    case StageKind::kDecompress:
      return std::make_unique<DecompressStage>(pool, clock, *inflate_);
    case StageKind::kDequantize:
      return std::make_unique<DequantizeStage>(pool, clock, workspace_);
    case StageKind::kDeliver:
      return std::make_unique<CopyStage>(pool, clock, copies_, CopyDirection::kDeliver);
    case StageKind::kUnpack:
      return std::make_unique<UnpackStage>(pool, clock, *inflate_, workspace_, speed_);
    case StageKind::kCollect:
      return std::make_unique<CopyStage>(pool, clock, copies_, CopyDirection::kCollect);
    case StageKind::kQuantize:
      return std::make_unique<QuantizeStage>(pool, clock);
    case StageKind::kCompress:
      return std::make_unique<CompressStage>(pool, clock, workspace_);
    case StageKind::kSend:
      return std::make_unique<SendStage>(pool, clock, *parts_.store);
    case StageKind::kNull:
      break;
  }
  return std::make_unique<NullStage>(pool, clock);
}

void StageCircle::pass(uint64_t slots) {
  for (const uint64_t end = passed() + slots; passed() < end;) {
    loop_.step_once();
    expect_no_failure();
  }
}

uint64_t StageCircle::passed() const { return again_->counters().slots.read(); }
uint64_t StageCircle::value_bytes() const { return again_->counters().bytes_out.read(); }
uint64_t StageCircle::record_bytes() const { return again_->counters().bytes_in.read(); }

void StageCircle::expect_no_failure() const {
  if (again_->first_error() == Error::kNone) return;
  throw StartError(fmt::format("{}: {}", stage_->name(), error_sentence(again_->first_error())));
}

}  // namespace shadowserve
