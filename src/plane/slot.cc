// Lays out the slots in one region.
#include "plane/slot.h"

#include "contract/check.h"

namespace shadowserve {
namespace {

// Regions start on 4 KiB boundaries with slack behind them, so that engines may DMA whole pages and vector
// code may run over the end.
size_t region_bytes(size_t bytes) { return (bytes + kRegionSlack + 4095) / 4096 * 4096; }

constexpr size_t kPieces[] = {kRecordBytesMax, kSymbolBytesMax, kPartValueBytesMax, kScaleBytesMax};

}  // namespace

Result<SlotPool> SlotPool::create(uint32_t fetch_slots, uint32_t save_slots) {
  SlotPool pool;
  pool.fetch_slots_ = fetch_slots;
  pool.save_slots_ = save_slots;
  size_t slot_bytes = 0;
  for (const size_t piece : kPieces) slot_bytes += region_bytes(piece);
  auto region = SharedRegion::create("shadowserve-slots", slot_bytes * pool.size());
  if (!region) return fail(region.error());
  pool.region_ = std::move(*region);

  pool.slots_ = std::make_unique<Slot[]>(pool.size());
  std::byte* next = pool.region_.data();
  for (uint32_t i = 0; i < pool.size(); ++i) {
    Slot& slot = pool.slots_[i];
    slot.index = i;
    std::span<std::byte>* spans[] = {&slot.record, &slot.symbols, &slot.values, &slot.scales};
    for (size_t piece = 0; piece < std::size(kPieces); ++piece) {
      *spans[piece] = {next, kPieces[piece]};
      next += region_bytes(kPieces[piece]);
    }
  }
  pool.free_fetch_.reserve(fetch_slots);
  pool.free_save_.reserve(save_slots);
  for (uint32_t i = 0; i < fetch_slots; ++i) pool.free_fetch_.push_back(i);
  for (uint32_t i = 0; i < save_slots; ++i) pool.free_save_.push_back(fetch_slots + i);
  return pool;
}

Slot* SlotPool::take(bool saving) {
  auto& free_list = saving ? free_save_ : free_fetch_;
  if (free_list.empty()) return nullptr;
  Slot& slot = slots_[free_list.back()];
  free_list.pop_back();
  slot.error = Error::kNone;
  slot.record_bytes = 0;
  slot.store_ns = 0;
  slot.session = nullptr;
  return &slot;
}

void SlotPool::give_back(Slot& slot) {
  auto& free_list = slot.index < fetch_slots_ ? free_fetch_ : free_save_;
  SS_CHECK(free_list.size() < free_list.capacity(), "a slot is given back once");
  free_list.push_back(slot.index);
}

}  // namespace shadowserve
