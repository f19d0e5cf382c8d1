// Keeps every task until it is really done, so that it can be done again.
#include "plane/rescued_inflate_engine.h"

#include <algorithm>

namespace shadowserve {

RescuedInflateEngine::RescuedInflateEngine(InflateEngine& device, InflateEngine& host, const Clock& clock)
    : device_(device), host_(host), clock_(clock), device_takes_(device.abilities()) {
  for (size_t i = 0; i < kDepth; ++i) free_[i] = static_cast<uint16_t>(i);
}

bool RescuedInflateEngine::suits_device(const InflateTask& task) const {
  const bool known = task.coder < 32 && (device_takes_.coders >> task.coder & 1) != 0;
  return known && task.coded.size() <= device_takes_.coded_bytes_max && !task.coded.empty() &&
         task.symbols.size() <= device_takes_.symbol_bytes_max && !device_.lost();
}

Result<void> RescuedInflateEngine::submit_to_host(size_t index) {
  InflateTask task = entries_[index].task;
  task.ticket = index;
  return host_.submit(task);
}

Result<void> RescuedInflateEngine::submit(const InflateTask& task) {
  if (count_ == kDepth) return fail(Error::kNoCapacity);
  const size_t index = free_[kDepth - 1 - count_];
  const auto taken = take(index, task);
  if (taken) {
    ++count_;
  } else {
    entries_[index].where = Entry::kFree;
  }
  return taken;
}

Result<void> RescuedInflateEngine::take(size_t index, const InflateTask& task) {
  Entry& entry = entries_[index];
  entry = {task, clock_.now_ns(), Entry::kDevice};
  if (suits_device(task)) {
    InflateTask ours = task;
    ours.ticket = index;
    const auto accepted = device_.submit(ours);
    if (accepted) {
      ++at_[Entry::kDevice];
      return accepted;
    }
    if (accepted.error() == Error::kNoCapacity) return accepted;
  }
  entry.where = Entry::kHost;
  const auto accepted = submit_to_host(index);
  if (accepted) ++at_[Entry::kHost];
  return accepted;
}

uint64_t RescuedInflateEngine::settle(uint64_t index) {
  Entry& entry = entries_[index];
  --at_[entry.where];
  entry.where = Entry::kFree;
  --count_;
  free_[kDepth - 1 - count_] = static_cast<uint16_t>(index);
  return entry.task.ticket;
}

size_t RescuedInflateEngine::poll(std::span<InflateDone> out) {
  size_t count = poll_device(out);
  rescue();
  count += poll_host(out.subspan(count));
  watch();
  return count;
}

size_t RescuedInflateEngine::poll_device(std::span<InflateDone> out) {
  if (at_[Entry::kDevice] == 0) return 0;
  InflateDone done[16];
  const size_t polled = device_.poll(std::span(done).first(std::min<size_t>(out.size(), 16)));
  size_t count = 0;
  for (size_t i = 0; i < polled; ++i) {
    if (done[i].error == Error::kNone) {
      counters_.by_device.add(1);
      out[count++] = {settle(done[i].ticket), Error::kNone};
      continue;
    }
    counters_.failed.add(1);
    entries_[done[i].ticket].where = Entry::kForHost;
    --at_[Entry::kDevice];
    ++at_[Entry::kForHost];
  }
  return count;
}

/// What the host's engine has no room for now gets its turn later.
void RescuedInflateEngine::rescue() {
  for (size_t i = 0; at_[Entry::kForHost] > 0 && i < kDepth; ++i) {
    if (entries_[i].where != Entry::kForHost) continue;
    if (!submit_to_host(i)) return;
    entries_[i].where = Entry::kHost;
    --at_[Entry::kForHost];
    ++at_[Entry::kHost];
  }
}

size_t RescuedInflateEngine::poll_host(std::span<InflateDone> out) {
  if (at_[Entry::kHost] == 0 || out.empty()) return 0;
  const size_t count = host_.poll(out);
  for (InflateDone& done : out.first(count)) done.ticket = settle(done.ticket);
  counters_.by_host.add(count);
  return count;
}

void RescuedInflateEngine::watch() {
  if (at_[Entry::kDevice] == 0) {
    abandoned_ = false;
    return;
  }
  if (abandoned_) return;  // it has been told
  const uint64_t now = clock_.now_ns();
  for (const Entry& entry : entries_) {
    if (entry.where != Entry::kDevice || now - entry.since_ns < kEngineTaskNsMax) continue;
    counters_.abandoned.add(1);
    abandoned_ = true;
    return device_.abandon();
  }
}

}  // namespace shadowserve
