// Cuts copies into pieces, counts what comes back, and does over what was not done.
#include "plane/rescued_copy_engine.h"

#include <algorithm>

#include "contract/check.h"

namespace shadowserve {

RescuedCopyEngine::RescuedCopyEngine(CopyEngine& device, CopyEngine* host, const Clock& clock)
    : device_(device), host_(host), clock_(clock), piece_bytes_max_(device.abilities().bytes_max) {
  SS_CHECK(piece_bytes_max_ > 0, "a device copies something");
}

Result<void> RescuedCopyEngine::submit(const CopyTask& task) {
  if (count_ == kDepth) return fail(Error::kNoCapacity);
  size_t index = 0;
  while (entries_[index].where != Entry::kFree) ++index;
  const auto taken = take(index, task);
  if (taken) {
    ++count_;
  } else {
    entries_[index].where = Entry::kFree;
  }
  return taken;
}

Result<void> RescuedCopyEngine::take(size_t index, const CopyTask& task) {
  Entry& entry = entries_[index];
  entry = {task, 0, 0, clock_.now_ns(), false, Entry::kDevice};
  const auto sent = device_.lost() ? fail(Error::kSystem) : send_pieces(index);
  // Once a piece is on its way the copy is taken, whatever the device said to the next one.
  if (sent || entry.under_way > 0) return {};
  if (sent.error() == Error::kNoCapacity || host_ == nullptr) return sent;
  return submit_to_host(index);
}

/// As many as the device takes now; the rest when it has room.
Result<void> RescuedCopyEngine::send_pieces(size_t index) {
  Entry& entry = entries_[index];
  while (entry.sent_bytes < entry.task.bytes) {
    const size_t at = entry.sent_bytes;
    const size_t bytes = std::min(piece_bytes_max_, entry.task.bytes - at);
    const auto accepted = device_.submit({entry.task.to + at, entry.task.from + at, bytes, index});
    if (!accepted) {
      if (accepted.error() != Error::kNoCapacity) entry.failed = true;
      return accepted;
    }
    entry.sent_bytes += bytes;
    ++entry.under_way;
  }
  return {};
}

Result<void> RescuedCopyEngine::submit_to_host(size_t index) {
  CopyTask task = entries_[index].task;
  task.ticket = index;
  const auto accepted = host_->submit(task);
  if (accepted) entries_[index].where = Entry::kHost;
  return accepted;
}

void RescuedCopyEngine::poll_device() {
  CopyDone done[16];
  const size_t count = device_.poll(done);
  for (const CopyDone& piece : std::span(done).first(count)) {
    Entry& entry = entries_[piece.ticket];
    --entry.under_way;
    if (piece.error == Error::kNone) continue;
    entry.failed = true;
    counters_.failed.add(1);
  }
}

void RescuedCopyEngine::poll_host() {
  if (host_ == nullptr) return;
  CopyDone done[16];
  const size_t count = host_->poll(done);
  for (const CopyDone& copy : std::span(done).first(count)) {
    entries_[copy.ticket].where = Entry::kHostDone;
    entries_[copy.ticket].failed = copy.error != Error::kNone;
  }
}

/// Moves the copy on as far as it goes now; true when it has ended.
bool RescuedCopyEngine::advance(size_t index) {
  Entry& entry = entries_[index];
  if (entry.where != Entry::kDevice) return entry.where == Entry::kHostDone;
  if (!entry.failed && entry.sent_bytes < entry.task.bytes) (void)send_pieces(index);
  // A failed copy must not be made again while a piece of it may still be written by the device.
  if (entry.under_way > 0) return false;
  if (!entry.failed && entry.sent_bytes == entry.task.bytes) return true;
  // It took a piece and was busy ever since: nothing to ask back, but nothing to wait for either.
  if (clock_.now_ns() - entry.since_ns >= kEngineTaskNsMax) entry.failed = true;
  if (!entry.failed) return false;
  if (host_ == nullptr) return true;
  (void)submit_to_host(index);
  return false;
}

size_t RescuedCopyEngine::poll(std::span<CopyDone> out) {
  if (count_ == 0) return 0;
  poll_device();
  poll_host();
  size_t ended = 0;
  for (size_t i = 0; i < kDepth && ended < out.size(); ++i) {
    Entry& entry = entries_[i];
    if (entry.where == Entry::kFree || !advance(i)) continue;
    const bool by_host = entry.where == Entry::kHostDone;
    (by_host ? counters_.by_host : counters_.by_device).add(entry.failed ? 0 : 1);
    out[ended++] = {entry.task.ticket, entry.failed ? Error::kSystem : Error::kNone};
    entry.where = Entry::kFree;
    --count_;
  }
  watch();
  return ended;
}

void RescuedCopyEngine::watch() {
  const uint64_t now = clock_.now_ns();
  bool any = false, late = false;
  for (const Entry& entry : entries_) {
    if (entry.where != Entry::kDevice || entry.under_way == 0) continue;
    any = true;
    late = late || now - entry.since_ns >= kEngineTaskNsMax;
  }
  if (!any) abandoned_ = false;
  if (!late || abandoned_) return;
  counters_.abandoned.add(1);
  abandoned_ = true;
  device_.abandon();
}

}  // namespace shadowserve
