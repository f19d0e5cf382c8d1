// A slot: the pinned regions one record in flight owns, and everything the stages know about it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "codec/codec.h"
#include "memory/shared_region.h"
#include "wire/link_message.h"

namespace shadowserve {

class Session;

/// Owned by exactly one stage at a time; handed on by pushing its index into a pipe.
struct Slot {
  uint32_t index = 0;

  // Memory, taken and pinned at start.
  std::span<std::byte> record;   ///< kRecordBytesMax: as the store holds it
  std::span<std::byte> symbols;  ///< kSymbolBytesMax: between coder and quantizer
  std::span<std::byte> values;   ///< kPartValueBytesMax: canonical layout
  std::span<std::byte> scales;   ///< kScaleBytesMax: only while saving

  // The work, set when it is admitted.
  Session* session = nullptr;
  LinkRequest request;
  PartShape shape;
  uint32_t lane = 0;  ///< fetching: the lane that receives and unpacks it

  // What the stages found out. An error rides to the end of the pipeline; nothing else is done then.
  Error error = Error::kNone;
  size_t record_bytes = 0;
  RecordView view;  ///< fetching: after the record was opened
  EncodePlan plan;  ///< saving: after quantization

  // Times for the reply, ns on the plane's clock.
  uint64_t arrived_ns = 0;   ///< popped from the link
  uint64_t admitted_ns = 0;  ///< got this slot
  uint64_t queued_ns = 0;    ///< entered the current stage's queue
  uint64_t store_ns = 0;     ///< spent in receive or send

  bool saving() const { return request.op == LinkOp::kSave; }
};

/// All slots of the plane in one pinned region. Fetches and saves have slots of their own, so that neither
/// can starve the other. Used by the admitting thread only, except for at().
class SlotPool {
 public:
  /// Errors: kSystem (no memory).
  static Result<SlotPool> create(uint32_t fetch_slots, uint32_t save_slots);

  /// A free slot, or nullptr. The slot's work fields are reset.
  Slot* take(bool saving);
  void give_back(Slot& slot);

  Slot& at(uint32_t index) { return slots_[index]; }
  uint32_t size() const { return fetch_slots_ + save_slots_; }
  uint32_t in_use() const { return size() - static_cast<uint32_t>(free_fetch_.size() + free_save_.size()); }
  bool pinned() const { return region_.pinned(); }
  size_t bytes() const { return region_.size(); }
  bool pin() { return region_.pin(); }
  /// Everything that slots own: what a DMA engine has to be told of.
  std::span<std::byte> memory() const { return region_.span(); }

 private:
  SharedRegion region_;
  std::unique_ptr<Slot[]> slots_;
  uint32_t fetch_slots_ = 0;
  uint32_t save_slots_ = 0;
  std::vector<uint32_t> free_fetch_;  // capacity reserved at start
  std::vector<uint32_t> free_save_;
};

}  // namespace shadowserve
