// The host's own copy engine: memcpy.
#include "world/copy_engine.h"

#include <algorithm>
#include <cstring>

namespace shadowserve {

Result<void> HostCopyEngine::submit(const CopyTask& task) {
  if (count_ == kDepth) return fail(Error::kNoCapacity);
  std::memcpy(task.to, task.from, task.bytes);
  done_[count_++] = {task.ticket, Error::kNone};
  return {};
}

size_t HostCopyEngine::poll(std::span<CopyDone> out) {
  const size_t count = std::min(out.size(), count_);
  std::copy_n(done_, count, out.begin());
  std::copy(done_ + count, done_ + count_, done_);
  count_ -= count;
  return count;
}

}  // namespace shadowserve
