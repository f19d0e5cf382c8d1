// Steps stages alone, and compares what they leave with what they should.
#include "bench/stage_trials.h"

#include <fmt/format.h>

#include <cstring>

#include "bench/decode_check.h"

namespace shadowserve {
namespace {

constexpr uint32_t kLaps = 4;  // rounds of all slots in one repetition

bool saves(StageKind kind) { return kind >= StageKind::kCollect; }

class StageTrial final : public Trial {
 public:
  StageTrial(std::string name, StageKind kind, std::shared_ptr<StageRig> rig, const Clock& clock,
             std::shared_ptr<RecordStore> store)
      : kind_(kind), rig_(std::move(rig)), store_(std::move(store)) {
    row.table = rig_->profile().name();
    row.name = std::move(name);
    StageCircleParts parts{
        .kind = kind, .pool = rig_->pool(), .slots = {}, .clock = clock, .store = store_.get(), .next = {}};
    for (uint32_t i = 0; i < rig_->fetch_slots(); ++i) parts.slots.push_back(slot(i).index);
    if (delivers()) parts.next = [this](Slot& slot) { rig_->move_on(slot); };
    circle_ = std::make_unique<StageCircle>(std::move(parts));
  }

  void repeat(bool counted) override {
    const uint64_t slots = uint64_t{rig_->fetch_slots()} * kLaps * (kind_ == StageKind::kNull ? 1000 : 1);
    for (uint32_t i = 0; i < rig_->fetch_slots(); ++i) spoil(slot(i));
    // A server goes on sending while others have their turn: what it sent then is not to be counted.
    if (store_) circle_->pass(rig_->fetch_slots());
    const uint64_t values = circle_->value_bytes(), records = circle_->record_bytes();
    const uint64_t passed = circle_->passed();
    Stopwatch watch;
    watch.start();
    circle_->pass(slots);
    watch.stop();
    if (counted && kind_ == StageKind::kNull) {
      add_ns(watch.seconds() * 1e9 / static_cast<double>(circle_->passed() - passed));
    } else if (counted) {
      add_rate(kValuesMeasure, static_cast<double>(circle_->value_bytes() - values), watch.seconds());
      add_rate(kCompressedMeasure, static_cast<double>(circle_->record_bytes() - records), watch.seconds());
    }
    for (uint32_t i = 0; i < rig_->fetch_slots(); ++i) check(i);
  }

 private:
  bool delivers() const { return kind_ == StageKind::kDeliver || kind_ == StageKind::kUnpack; }
  Slot& slot(uint32_t i) { return saves(kind_) ? rig_->saving(i) : rig_->fetching(i); }
  void add_ns(double ns) {
    if (row.measures.empty()) row.measures.push_back({kSlotMeasure, {}});
    row.measures[0].rates.push_back(ns);
  }

  /// What the stage is about to write is wrong beforehand. Staging memory is empty at first, and spoilt where
  /// it was compared.
  void spoil(Slot& slot) {
    if (kind_ == StageKind::kReceive) std::memset(slot.record.data(), 0xff, slot.record_bytes);
    if (kind_ == StageKind::kDequantize) std::memset(slot.values.data(), 0xff, slot.shape.value_bytes());
  }

  /// The last place that a delivering stage wrote to lies behind the one it goes to next.
  void check(uint32_t i) {
    Slot& done = slot(i);
    const auto values = done.values.first(done.shape.value_bytes());
    const auto record = done.record.first(done.record_bytes);
    if (kind_ == StageKind::kReceive || kind_ == StageKind::kCompress) {
      expect_same(row.name, fmt::format("the record in slot {}", i), rig_->record(i), record);
    } else if (kind_ == StageKind::kDequantize) {
      expect_same(row.name, fmt::format("the values in slot {}", i), rig_->expected(i), values);
    } else if (kind_ == StageKind::kCollect) {
      expect_same(row.name, fmt::format("the values in slot {}", i), rig_->staged(done), values);
    } else if (delivers()) {
      const auto staged = rig_->last_staged(done);
      expect_same(row.name, fmt::format("the delivered values of slot {}", i), rig_->expected(i), staged);
      std::memset(staged.data(), 0xff, staged.size());
    }
  }

  StageKind kind_;
  std::shared_ptr<StageRig> rig_;
  std::shared_ptr<RecordStore> store_;
  std::unique_ptr<StageCircle> circle_;
};

class OpenTrial final : public Trial {
 public:
  OpenTrial(std::shared_ptr<StageRig> rig, SealKind kind) : rig_(std::move(rig)) {
    row.table = rig_->profile().name();
    row.name = kind == SealKind::kGmac ? "open, GMAC seal" : "open, XXH3 seal";
    row.note = "open_record() alone: no stage does only that";
    KeySpace space;
    space.tenant_salt = kind == SealKind::kGmac ? "a secret" : "";
    seal_ = seal_key(space);
    for (uint32_t i = 0; i < rig_->fetch_slots(); ++i) {
      const auto record = rig_->record(i);
      records_.emplace_back(record.begin(), record.end());
      seal_record(records_.back(), kind, seal_);
    }
  }

  void repeat(bool counted) override {
    bool good = true;
    Stopwatch watch;
    watch.start();
    for (uint32_t lap = 0; lap < kLaps; ++lap) {
      for (uint32_t i = 0; i < records_.size(); ++i) {
        const Slot& slot = rig_->fetching(i);
        good = open_record(records_[i], slot.shape, slot.request.key, seal_, view_).has_value() && good;
      }
    }
    watch.stop();
    if (!good) throw WrongDecode("open: a record made just now cannot be read");
    if (!counted) return;
    add_rate(kValuesMeasure, static_cast<double>(kLaps * rig_->value_bytes()), watch.seconds());
    add_rate(kCompressedMeasure, static_cast<double>(kLaps * rig_->record_bytes()), watch.seconds());
  }

 private:
  std::shared_ptr<StageRig> rig_;
  ChunkKey seal_{};
  std::vector<std::vector<std::byte>> records_;
  RecordView view_;
};

class StagingCopyTrial final : public Trial {
 public:
  explicit StagingCopyTrial(std::shared_ptr<StageRig> rig) : rig_(std::move(rig)) {
    row.table = rig_->profile().name();
    row.name = kCopyRow;
    row.note = "the limit: no stage around it";
  }
  void repeat(bool counted) override {
    Stopwatch watch;
    watch.start();
    for (uint32_t lap = 0; lap < kLaps; ++lap) {
      for (uint32_t i = 0; i < rig_->fetch_slots(); ++i) {
        Slot& slot = rig_->fetching(i);
        const auto to = rig_->staged(slot);
        std::memcpy(to.data(), slot.values.data(), to.size());
        rig_->move_on(slot);
      }
    }
    watch.stop();
    if (!counted) return;
    add_rate(kValuesMeasure, static_cast<double>(kLaps * rig_->value_bytes()), watch.seconds());
  }

 private:
  std::shared_ptr<StageRig> rig_;
};

}  // namespace

std::unique_ptr<Trial> stage_trial(std::string name, StageKind kind, std::shared_ptr<StageRig> rig,
                                   const Clock& clock, std::shared_ptr<RecordStore> store) {
  return std::make_unique<StageTrial>(std::move(name), kind, std::move(rig), clock, std::move(store));
}

std::unique_ptr<Trial> open_trial(std::shared_ptr<StageRig> rig, SealKind kind) {
  return std::make_unique<OpenTrial>(std::move(rig), kind);
}

std::unique_ptr<Trial> staging_copy_trial(std::shared_ptr<StageRig> rig) {
  return std::make_unique<StagingCopyTrial>(std::move(rig));
}

}  // namespace shadowserve
