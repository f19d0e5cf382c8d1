// Moves between staging and pages in host memory, with this core, at once.
#pragma once

#include <vector>

#include "control/page_map.h"
#include "control/page_mover.h"

namespace shadowserve {

class HostPageMover final : public PageMover {
 public:
  /// REQUIRES pages.validate().
  explicit HostPageMover(PageMap pages);
  void start(const PartMove& move, std::span<std::byte> staging) override;
  void flush() override {}
  size_t poll(std::span<PagedDone> out) override;
  uint32_t moves_together() const override { return 1; }
  uint32_t gathers_per_turn() const override { return 1; }

 private:
  const PageMap pages_;
  std::vector<PagedDone> done_;  // capacity taken at start
};

}  // namespace shadowserve
