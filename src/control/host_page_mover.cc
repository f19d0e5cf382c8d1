// start() does it all; poll() only says so.
#include "control/host_page_mover.h"

#include <algorithm>
#include <utility>

#include "contract/limits.h"

namespace shadowserve {

HostPageMover::HostPageMover(PageMap pages) : pages_(std::move(pages)) { done_.reserve(kLinkRingEntries); }

void HostPageMover::start(const PartMove& move, std::span<std::byte> staging) {
  std::byte* values = staging.data() + move.staging_offset;
  if (move.direction == PagedDirection::kScatter) {
    pages_.place_part(move.shape, values, move.page_ids, move.token_first);
  } else {
    pages_.gather_part(move.shape, move.page_ids, values);
  }
  done_.push_back({move.ticket, Error::kNone});
}

size_t HostPageMover::poll(std::span<PagedDone> out) {
  const size_t count = std::min(out.size(), done_.size());
  std::copy_n(done_.begin(), count, out.begin());
  done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

}  // namespace shadowserve
