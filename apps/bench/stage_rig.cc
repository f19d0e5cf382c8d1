// Fills slots with what the codec makes of the input, outside of any measurement.
#include "bench/stage_rig.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "command.h"

namespace shadowserve {
namespace {

constexpr uint64_t kStoreNs = 10'000 * kNsPerMs;

void must(bool good, const Profile& profile, const char* what) {
  if (!good) throw StartError(fmt::format("{}: {}: try fewer --chunk-tokens", profile.name(), what));
}

}  // namespace

std::shared_ptr<SharedRegion> make_bench_staging(size_t bytes) {
  auto region = SharedRegion::create("shadowserve-bench-staging", bytes);
  if (!region) throw StartError(fmt::format("no memory for {} MiB of staging", bytes >> 20));
  return std::make_shared<SharedRegion>(std::move(*region));
}

ChunkKey bench_key(const Profile& profile, uint32_t chunk) {
  ChunkKey key{};
  const std::string text = fmt::format("bench {} {}", profile.name(), chunk);
  std::memcpy(key.data(), text.data(), std::min(text.size(), key.size()));
  return key;
}

void open_bench_session(Session& session, const KvGeometry& geometry, const ProfileChoice& choice,
                        const SharedRegion& staging, uint32_t ring_entries) {
  LinkHello hello;
  hello.geometry = LinkGeometry::of(geometry);
  choice.profile.name().copy(hello.profile, sizeof hello.profile - 1);
  hello.staging_bytes = staging.size();
  std::snprintf(hello.client_name, sizeof hello.client_name, "bench");
  std::string message;
  if (!session.open(hello, dup(staging.fd()), ring_entries, message, choice.model)) throw StartError(message);
}

StageRig::StageRig(BenchInput& input, const ProfileChoice& choice, uint32_t fetch_slots,
                   std::shared_ptr<SharedRegion> staging)
    : staging_(std::move(staging)) {
  open_bench_session(session_, input.geometry(), choice, *staging_, 64);
  auto pool = SlotPool::create(fetch_slots, fetch_slots);
  if (!pool) throw StartError(fmt::format("no memory for {} slots", 2 * fetch_slots));
  pool_ = std::move(*pool);
  stride_ = (part_shape(input.geometry(), 0).value_bytes() + 63) / 64 * 64;
  const size_t places = staging_->size() / stride_;
  must(places >= 2 * size_t{fetch_slots}, choice.profile, "parts do not fit the bench's staging memory");
  turns_ = (places - fetch_slots) / fetch_slots;
  expected_.resize(fetch_slots);
  records_.resize(fetch_slots);
  for (uint32_t i = 0; i < fetch_slots; ++i) fill(input, i);
}

void StageRig::fill(BenchInput& input, uint32_t i) {
  const uint32_t part = i % input.parts();
  Slot* const slots[] = {pool_.take(/*saving=*/false), pool_.take(/*saving=*/true)};
  for (Slot* slot : slots) {
    slot->session = &session_;
    slot->shape = input.part(part);
    slot->request.op = slot == slots[0] ? LinkOp::kFetch : LinkOp::kSave;
    slot->request.part = slot->shape.part;
    slot->request.key = bench_key(profile(), part / input.geometry().parts());
    slot->request.set_chunk_index(input.chunk_of(part));
    slot->request.deadline_ns = UINT64_MAX;
  }
  Slot& fetching = *fetching_.emplace_back(slots[0]);
  Slot& saving = *saving_.emplace_back(slots[1]);
  saving.request.staging_offset = i * stride_;
  fetching.request.staging_offset = (pool_.size() / 2 + i * turns_) * stride_;

  // Saving: what collect, quantize and compress leave.
  const auto values = input.values(part);
  std::memcpy(staged(saving).data(), values.data(), values.size());
  std::memcpy(saving.values.data(), values.data(), values.size());
  must(quantize_part(profile(), saving.shape, values, saving.symbols, saving.scales, saving.plan).has_value(),
       profile(), "the scales of a part do not fit a record");
  CoderWorkspace coder;
  const auto size = compress_part(saving.plan, profile(), saving.request.key, session_.seal_kind(),
                                  session_.seal(), saving.symbols, saving.scales, coder, saving.record);
  must(size.has_value(), profile(), "a part does not fit a record");
  saving.record_bytes = fetching.record_bytes = *size;
  records_[i].assign(saving.record.begin(), saving.record.begin() + static_cast<ptrdiff_t>(*size));

  // Fetching: what receive, decompress and dequantize leave.
  std::memcpy(fetching.record.data(), saving.record.data(), *size);
  bool good = open_record(fetching.record.first(*size), fetching.shape, fetching.request.key, session_.seal(),
                          fetching.view)
                  .has_value();
  for (uint32_t frame = 0; good && frame < fetching.view.frame_count(); ++frame) {
    const RecordView::Frame& piece = fetching.view.frame(frame);
    if (quantizer_of(piece.entry) == QuantizerId::kCalibrated) continue;  // decoded in one pass
    const auto symbols = fetching.symbols.subspan(piece.symbol_offset, piece.entry.symbol_bytes);
    good = coder.decode(static_cast<CoderId>(piece.entry.coder), piece.coded, symbols).has_value();
  }
  expected_[i].resize(values.size());
  good = good && decode_part(records_[i], fetching.shape, fetching.request.key, session_.seal(), expected_[i],
                             profile().model)
                     .has_value();
  must(good, profile(), "a record made just now cannot be read");
  std::memcpy(fetching.values.data(), expected_[i].data(), values.size());
  value_bytes_ += values.size();
  record_bytes_ += *size;
}

std::span<std::byte> StageRig::staged(const Slot& slot) const {
  return staging_->span().subspan(slot.request.staging_offset, slot.shape.value_bytes());
}

void StageRig::turn(Slot& slot, size_t places) const {
  const size_t place = slot.request.staging_offset / stride_ - fetch_slots();
  const size_t turned = (place % turns_ + places) % turns_;
  slot.request.staging_offset = (fetch_slots() + place / turns_ * turns_ + turned) * stride_;
}

std::span<std::byte> StageRig::last_staged(const Slot& slot) const {
  Slot before;
  before.request = slot.request;
  before.shape = slot.shape;
  turn(before, turns_ - 1);
  return staged(before);
}

void StageRig::store_records(RecordStore& store, const Clock& clock) {
  StoreDone done;
  for (const Slot* slot : fetching_) {
    const StoreKey key(slot->request.key, slot->request.part);
    const uint64_t deadline_ns = clock.now_ns() + kStoreNs;
    bool good = store.put(0, key, slot->record.first(slot->record_bytes), deadline_ns).has_value();
    while (good && store.poll({&done, 1}) == 0) continue;
    if (!good || done.error != Error::kNone) {
      throw StartError(fmt::format("cannot put a record into the store: {}", error_sentence(done.error)));
    }
  }
}

}  // namespace shadowserve
