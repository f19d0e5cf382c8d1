// The worker's side of the interference bench as a library for Python: the connector's own moves of parts
// into paged KV at a chosen rate, out of staging memory on the GPU that a deliverer may open, or out of host
// memory (direct_pages). Errors end the bench.
#include <chrono>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <vector>

#include "contract/check.h"
#include "interference/paced.h"
#include "kernels/device_memory.h"
#include "kernels/paged_mover.h"
#include "kernels/staging_memory.h"

using namespace shadowserve;

namespace {

constexpr uint32_t kChunkTokens = 256, kBlockTokens = 16, kPartPlanes = 4;

/// Pages of one model with layers [block][2][token][head][dim] in bf16, and a request's staging memory.
class Scatter {
 public:
  Scatter(uint32_t layers, uint32_t heads, uint32_t head_dim, uint32_t blocks, uint64_t staging_bytes,
          bool direct) {
    staging_ = StagingMemory::take({0, !direct}, staging_bytes);
    SS_CHECK(staging_, "staging memory can be had, and registered");
    PagedLayout layout{layers, 2, heads, head_dim, 2, kBlockTokens, blocks};
    const uint64_t row = uint64_t{heads} * head_dim;
    layout.plane_stride = kBlockTokens * row;
    layout.block_stride = 2 * kBlockTokens * row;
    layout.token_stride = row;
    layout.head_stride = head_dim;
    auto pages = DeviceMemory::allocate(0, layout.layer_bytes() * layers);
    SS_CHECK(pages, "pages can be had");
    pages_ = std::move(*pages);
    PagedMemory memory;
    memory.layout = layout;
    memory.chunk_tokens = kChunkTokens;
    for (uint32_t i = 0; i < layers; ++i)
      memory.layer_base.push_back(pages_.data() + i * layout.layer_bytes());
    auto mover = PagedMover::create(memory, direct ? PagedWay::kCopies : PagedWay::kKernel);
    SS_CHECK(mover, "a mover can be made");
    mover_ = std::move(*mover);
    planes_ = layout.planes();
    part_bytes_ = kPartPlanes * kChunkTokens * row * 2;
    block_ids_.resize(blocks);
    std::iota(block_ids_.begin(), block_ids_.end(), 0);
    std::shuffle(block_ids_.begin(), block_ids_.end(), std::mt19937(1));
    chunks_ = blocks / (kChunkTokens / kBlockTokens);
  }

  const StagingMemory& staging() const { return *staging_; }

  /// A chunk's next part, if it is due; bytes that are in pages.
  uint64_t step(bool due) {
    if (due && mover_->under_way() < 4 * PagedMover::kBatchParts) add_part();
    PagedDone done[64];
    const size_t ended = mover_->poll(done);
    for (size_t i = 0; i < ended; ++i) SS_CHECK(done[i].error == Error::kNone, "scatters work");
    return ended * part_bytes_;
  }

  void start(double gb_per_s) {
    paced_.emplace(gb_per_s * 1e9, [this](bool due) { return step(due); });
  }
  uint64_t stop() {
    paced_->stop();
    mover_->flush();
    return paced_->bytes();
  }

 private:
  void add_part() {
    constexpr uint32_t kBlocks = kChunkTokens / kBlockTokens;
    const auto ids = std::span<const int32_t>(block_ids_).subspan(chunk_ % chunks_ * kBlocks, kBlocks);
    const std::span staging = staging_->span();
    const uint64_t place = next_ * part_bytes_ % (staging.size() - part_bytes_ + 1) / 64 * 64;
    const PagedPart part{next_, PagedDirection::kScatter, place, plane_, kPartPlanes, ids};
    if (!mover_->add(part, staging, nullptr)) return;
    ++next_;
    plane_ += kPartPlanes;
    if (mover_->parts_together() == 1) mover_->flush();
    if (plane_ < planes_) return;
    plane_ = 0, ++chunk_;
    mover_->flush();  // as the worker does when a chunk is there
  }

  std::shared_ptr<const StagingMemory> staging_;
  DeviceMemory pages_;
  std::unique_ptr<PagedMover> mover_;
  uint32_t planes_ = 0, plane_ = 0;
  uint64_t part_bytes_ = 0, next_ = 0;
  size_t chunk_ = 0, chunks_ = 0;
  std::vector<int32_t> block_ids_;
  std::optional<Paced> paced_;
};

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void* scatter_create(uint32_t layers, uint32_t heads,
                                                            uint32_t head_dim, uint32_t blocks,
                                                            uint64_t staging_bytes, bool direct) {
  return new Scatter(layers, heads, head_dim, blocks, staging_bytes, direct);
}
/// `out` takes sizeof(DeviceMemoryHandle) bytes; how many that are is the answer.
__attribute__((visibility("default"))) uint32_t scatter_staging_handle(void* scatter, char* out) {
  const auto handle = static_cast<Scatter*>(scatter)->staging().handle();
  SS_CHECK(handle, "staging memory can be exported");
  std::memcpy(out, &*handle, sizeof *handle);
  return sizeof *handle;
}
__attribute__((visibility("default"))) void scatter_start(void* scatter, double gb_per_s) {
  static_cast<Scatter*>(scatter)->start(gb_per_s);
}
/// Bytes since scatter_start().
__attribute__((visibility("default"))) uint64_t scatter_stop(void* scatter) {
  return static_cast<Scatter*>(scatter)->stop();
}
}
