// Moves between staging and pages on a GPU, on streams of its own.
#pragma once

#include <deque>
#include <memory>
#include <utility>

#include "control/page_mover.h"

namespace shadowserve {

class DevicePageMover final : public PageMover {
 public:
  explicit DevicePageMover(std::unique_ptr<PagedMover> mover) : mover_(std::move(mover)) {}
  void start(const PartMove& move, std::span<std::byte> staging) override;
  void flush() override;
  size_t poll(std::span<PagedDone> out) override;
  uint32_t moves_together() const override { return mover_->parts_together(); }
  uint32_t gathers_per_turn() const override { return mover_->parts_per_turn(); }

 private:
  bool add(const PartMove& move, std::span<std::byte> staging);

  std::unique_ptr<PagedMover> mover_;
  /// Started while all batches of the mover were taken.
  struct Waiting {
    PartMove move;
    std::span<std::byte> staging;
  };
  std::deque<Waiting> waiting_;
};

}  // namespace shadowserve
