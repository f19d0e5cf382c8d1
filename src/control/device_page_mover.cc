// Hands parts to the GPU's batches, and keeps those for which there is no batch free yet.
#include "control/device_page_mover.h"

namespace shadowserve {

void DevicePageMover::start(const PartMove& move, std::span<std::byte> staging) {
  if (!waiting_.empty() || !add(move, staging)) waiting_.push_back({move, staging});
}

void DevicePageMover::flush() {
  while (!waiting_.empty() && add(waiting_.front().move, waiting_.front().staging)) waiting_.pop_front();
  mover_->flush();
}

size_t DevicePageMover::poll(std::span<PagedDone> out) {
  const size_t done = mover_->poll(out);
  if (!waiting_.empty()) flush();  // batches may be free again
  return done;
}

bool DevicePageMover::add(const PartMove& move, std::span<std::byte> staging) {
  PagedPart part;
  part.ticket = move.ticket;
  part.direction = move.direction;
  part.staging_offset = move.staging_offset;
  part.plane_first = move.shape.plane_first;
  part.plane_count = move.shape.plane_count;
  part.block_ids = move.page_ids;
  part.token_first = move.token_first;
  return mover_->add(part, staging, move.after, move.keeps);
}

}  // namespace shadowserve
