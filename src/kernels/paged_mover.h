// Moves parts between staging memory and an engine's pages in batches, on streams of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "contract/result.h"
#include "kernels/paged_batch.h"
#include "kernels/paged_launcher.h"
#include "kernels/stream_fence.h"

namespace shadowserve {

struct PagedDone {
  uint64_t ticket = 0;
  Error error = Error::kNone;
};

/// What moves a batch.
enum class PagedWay : uint8_t {
  kKernel,  ///< one kernel; staging memory lies on the GPU
  kCopies,  ///< the GPU's copy engines; staging memory is registered host memory
};

/// Parts are collected by add() and started by flush(), all that go in the same direction in one launch: a
/// launch per part would cost this core more than it moves. Scatters and gathers have a stream each, of the
/// lowest priority, so that neither waits for the other nor is in the engine's way. What goes in the same
/// direction runs in the order of its launches: behind a fence that is not passed yet, later ones wait as
/// well. Everything is taken by create(). One thread at a time; nothing waits.
class PagedMover {
 public:
  static constexpr uint32_t kBatchParts = PagedBatch::kPartsMax;  ///< of one launch
  static constexpr uint32_t kBatchesMax = 16;                     ///< under way, both directions together
  static constexpr uint32_t kBatchFences = 8;                     ///< different ones before one launch

  using Memory = PagedMemory;
  /// Errors: kConfig (a layout that neither kernels nor copies take, no such device), kSystem, kUnsupported
  /// (pages that copies would have to cut into pieces, see PagedRuns::fit(); built without CUDA). Blocks.
  static Result<std::unique_ptr<PagedMover>> create(Memory memory, PagedWay way = PagedWay::kKernel);
  /// Waits for what is under way, so for its fences too. What was not flushed is dropped.
  ~PagedMover();
  PagedMover(const PagedMover&) = delete;
  PagedMover& operator=(const PagedMover&) = delete;

  /// False when all batches are taken: poll() first. Hostile or wrong block ids, planes and offsets are the
  /// part's error, not the kernel's: it completes with kConfig. Block ids are copied. `staging` is the whole
  /// staging memory of the link, and `keeps` (may be null) what holds it; `after` (may be null) is passed
  /// before the part's pages are touched. A full launch starts at once, as does one that the part does not
  /// fit in.
  ///
  /// One launch takes whole chunks of the same staging; the parts of a chunk with token_first > 0 are one of
  /// their own: add them one after the other.
  bool add(const PagedPart& part, std::span<std::byte> staging, std::shared_ptr<const StreamFence> after,
           std::shared_ptr<const void> keeps = nullptr);
  /// Launches what was added. Failures show in poll().
  void flush();
  /// Parts whose bytes are where they belong, or failed. In no order. kSystem: the driver refused the launch
  /// or the device failed; its pages, or staging, may be written in part.
  size_t poll(std::span<PagedDone> out);
  /// Parts worth waiting for before a flush.
  uint32_t parts_together() const { return launcher_->parts_together(); }
  uint32_t parts_per_turn() const { return launcher_->parts_per_turn(); }
  /// Parts added and not yet polled.
  uint32_t under_way() const { return under_way_; }

 private:
  // In order of its life: idle, collecting (some lane's `open`), running (in its lane's ring), handed out.
  struct Batch {
    Batch(const Memory& memory, std::span<std::byte> tables) : parts(memory, tables) {}
    bool has_room_for(const StreamFence* after) const;
    bool waits_for(const StreamFence* after) const;
    size_t hand_out(std::span<PagedDone> out);
    void clear();

    PagedBatch parts;
    uint32_t index = 0;
    void* event = nullptr;  // cudaEvent_t, recorded behind the launch
    std::array<std::shared_ptr<const StreamFence>, kBatchFences> fences;
    uint32_t fence_count = 0;
    std::shared_ptr<const void> keeps;
    bool ended = false;  // and `error` is its outcome
    Error error = Error::kNone;
    uint32_t handed_out = 0;
  };
  // One direction. Its batches end in the order in which they started.
  struct Lane {
    void* stream = nullptr;                     // cudaStream_t
    std::array<Batch*, 2> open{};               // [1]: for parts with token_first > 0
    std::array<Batch*, kBatchesMax> running{};  // a ring
    uint32_t first = 0;
    uint32_t count = 0;
  };
  explicit PagedMover(Memory memory) : memory_(std::move(memory)) {}
  bool take_streams();
  bool take_batches();
  bool take_launcher(PagedWay way);
  void start(PagedDirection direction, Batch*& open);
  bool launch(PagedDirection direction, Batch& batch);
  bool has_ended(Batch& batch) const;

  const Memory memory_;
  std::unique_ptr<PagedLauncher> launcher_;
  std::byte* pinned_ = nullptr;  // each batch's tables
  std::vector<Batch> batches_;
  std::vector<Batch*> idle_;
  std::array<Lane, 2> lanes_;       // by PagedDirection
  std::vector<PagedDone> refused_;  // by add(); at most kBatchParts
  uint32_t under_way_ = 0;
};

}  // namespace shadowserve
