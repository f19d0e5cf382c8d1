// Slots of a bench's own that hold all that any stage finds or leaves, so that each stage can run alone.
#pragma once

#include <memory>
#include <vector>

#include "bench/bench_input.h"
#include "plane/session.h"
#include "plane/slot.h"
#include "store/record_store.h"

namespace shadowserve {

/// Staging memory far larger than the caches, shared by rigs: what is delivered goes to memory, as it does
/// to an engine.
std::shared_ptr<SharedRegion> make_bench_staging(size_t bytes);

/// The key under which benches store a chunk: nobody's text.
ChunkKey bench_key(const Profile& profile, uint32_t chunk);
/// Makes `session` one of an engine with this geometry, profile and staging memory. Throws StartError.
void open_bench_session(Session& session, const KvGeometry& geometry, const ProfileChoice& choice,
                        const SharedRegion& staging, uint32_t ring_entries);

/// Half of the slots fetch, half save; slot i is about part i of the input, from the start again when there
/// are fewer. A stage that works on a slot writes what is there already, so stages may run in any order, and
/// what they write can be compared.
class StageRig {
 public:
  /// Throws StartError.
  StageRig(BenchInput& input, const ProfileChoice& choice, uint32_t fetch_slots,
           std::shared_ptr<SharedRegion> staging);

  SlotPool& pool() { return pool_; }
  const Profile& profile() const { return session_.profile(); }
  uint32_t fetch_slots() const { return static_cast<uint32_t>(fetching_.size()); }
  Slot& fetching(uint32_t i) { return *fetching_[i]; }
  Slot& saving(uint32_t i) { return *saving_[i]; }
  /// What a fetch of slot i has to deliver.
  std::span<const std::byte> expected(uint32_t i) const { return expected_[i]; }
  /// The record in slot i, as it was made.
  std::span<const std::byte> record(uint32_t i) const { return records_[i]; }
  std::span<std::byte> staged(const Slot& slot) const;
  /// Values and records of all slots of one direction, a round.
  uint64_t value_bytes() const { return value_bytes_; }
  uint64_t record_bytes() const { return record_bytes_; }

  /// Sends the slot's next delivery to another place in staging memory.
  void move_on(Slot& slot) const { turn(slot, 1); }
  /// Where it was sent before it moved on.
  std::span<std::byte> last_staged(const Slot& slot) const;
  /// Puts the records of all slots into the store. Throws StartError.
  void store_records(RecordStore& store, const Clock& clock);

 private:
  void fill(BenchInput& input, uint32_t i);
  void turn(Slot& slot, size_t places) const;

  Session session_;
  std::shared_ptr<SharedRegion> staging_;
  SlotPool pool_;
  std::vector<Slot*> fetching_, saving_;
  std::vector<std::vector<std::byte>> expected_, records_;
  size_t stride_ = 0;  // of parts in staging memory
  size_t turns_ = 0;   // places that a fetching slot has there
  uint64_t value_bytes_ = 0, record_bytes_ = 0;
};

}  // namespace shadowserve
