// Rings and the client's doorbell.
#include "store/rocksdb_channel.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <bit>

namespace shadowserve {

SlotRing::SlotRing(uint32_t entries) {
  const uint32_t capacity = std::bit_ceil(entries);
  memory_ = std::make_unique<Line[]>(SpscRing<uint32_t>::bytes(capacity) / sizeof(Line) + 1);
  ring = SpscRing<uint32_t>::create(memory_.get(), capacity);
}

RocksdbChannel::RocksdbChannel(const Clock& client_clock, uint32_t depth, uint32_t threads)
    : clock(client_clock), operations(size_t{depth} * 2), lanes(threads) {
  for (Lane& lane : lanes) {
    lane.requests = std::make_unique<SlotRing>(depth * 2);
    lane.replies = std::make_unique<SlotRing>(depth * 2);
  }
  doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  SS_CHECK(doorbell >= 0, "a store client gets a descriptor at start");
}

RocksdbChannel::~RocksdbChannel() { close(doorbell); }

void RocksdbChannel::finish(uint32_t thread, uint32_t slot) {
  SS_CHECK(lanes[thread].replies->ring.push(slot), "a ring has room for every operation");
  if (!rung_.exchange(true, std::memory_order_acq_rel)) eventfd_write(doorbell, 1);
}

bool RocksdbChannel::clear_doorbell() {
  if (!rung_.load(std::memory_order_acquire)) return false;
  eventfd_t count = 0;
  eventfd_read(doorbell, &count);
  // From here on a thread that finishes rings again; what finished before is seen by the look that follows.
  rung_.exchange(false, std::memory_order_acq_rel);
  return true;
}

}  // namespace shadowserve
