// The calls of the two DOCA libraries under names that DocaQueue knows, and the engines made of it. Needs the
// SDK.
#pragma once

#include <doca_compress.h>
#include <doca_dma.h>

#include "bluefield/doca_queue.h"
#include "chunk/record.h"
#include "world/copy_engine.h"
#include "world/inflate_engine.h"

namespace shadowserve {

struct DocaDeflate {
  using Library = doca_compress;
  using Task = doca_compress_task_decompress_deflate;
  static constexpr bool kSizeIsChecked = true;
  static constexpr auto create = doca_compress_create;
  static constexpr auto destroy = doca_compress_destroy;
  static constexpr auto as_ctx = doca_compress_as_ctx;
  static constexpr auto get_max_num_tasks = doca_compress_cap_get_max_num_tasks;
  static constexpr auto set_conf = doca_compress_task_decompress_deflate_set_conf;
  static constexpr auto alloc_init = doca_compress_task_decompress_deflate_alloc_init;
  static constexpr auto as_task = doca_compress_task_decompress_deflate_as_task;
  static constexpr auto set_src = doca_compress_task_decompress_deflate_set_src;
  static constexpr auto set_dst = doca_compress_task_decompress_deflate_set_dst;
};

struct DocaCopy {
  using Library = doca_dma;
  using Task = doca_dma_task_memcpy;
  static constexpr bool kSizeIsChecked = false;  // a copy has no size of its own
  static constexpr auto create = doca_dma_create;
  static constexpr auto destroy = doca_dma_destroy;
  static constexpr auto as_ctx = doca_dma_as_ctx;
  static constexpr auto get_max_num_tasks = doca_dma_cap_get_max_num_tasks;
  static constexpr auto set_conf = doca_dma_task_memcpy_set_conf;
  static constexpr auto alloc_init = doca_dma_task_memcpy_alloc_init;
  static constexpr auto as_task = doca_dma_task_memcpy_as_task;
  static constexpr auto set_src = doca_dma_task_memcpy_set_src;
  static constexpr auto set_dst = doca_dma_task_memcpy_set_dst;
};

/// What ended, as the seam's completions say it.
template <class Queue, class EngineDone>
size_t poll_queue(Queue& queue, std::span<EngineDone> out) {
  typename Queue::Done done[16];
  const size_t count = queue.poll(std::span(done).first(std::min<size_t>(out.size(), 16)));
  for (size_t i = 0; i < count; ++i) out[i] = {done[i].ticket, done[i].ok ? Error::kNone : Error::kSystem};
  return count;
}

/// What BluefieldInflateEngine is inside; tests make it with less handling.
template <DocaHandling kHandling = DocaHandling{}>
class DocaInflateEngine final : public InflateEngine {
 public:
  using Queue = DocaQueue<DocaDeflate, kHandling>;
  DocaInflateEngine(std::unique_ptr<Queue> queue, size_t bytes_max)
      : queue_(std::move(queue)), bytes_max_(bytes_max) {}

  InflateAbilities abilities() const override {
    return {queue_->depth(), bytes_max_, bytes_max_, 1u << static_cast<uint32_t>(CoderId::kDeflate)};
  }
  Result<void> submit(const InflateTask& task) override {
    const bool suits = task.coder == static_cast<uint8_t>(CoderId::kDeflate) && !task.coded.empty() &&
                       task.coded.size() <= bytes_max_ && task.symbols.size() <= bytes_max_;
    if (!suits) return fail(Error::kUnsupported);
    // DOCA's buffers know no const; it only reads the source.
    return queue_->submit({const_cast<std::byte*>(task.coded.data()), task.coded.size(), task.symbols.data(),
                           task.symbols.size(), task.ticket});
  }
  size_t poll(std::span<InflateDone> out) override { return poll_queue(*queue_, out); }
  bool lost() const override { return queue_->lost(); }
  void abandon() override { queue_->abandon(); }
  Result<void> revive() { return queue_->revive(); }

 private:
  std::unique_ptr<Queue> queue_;
  size_t bytes_max_;
};

/// What BluefieldCopyEngine is inside.
template <DocaHandling kHandling = DocaHandling{}>
class DocaCopyEngine final : public CopyEngine {
 public:
  using Queue = DocaQueue<DocaCopy, kHandling>;
  DocaCopyEngine(std::unique_ptr<Queue> queue, size_t bytes_max)
      : queue_(std::move(queue)), bytes_max_(bytes_max) {}

  CopyAbilities abilities() const override { return {queue_->depth(), bytes_max_}; }
  Result<void> submit(const CopyTask& task) override {
    if (task.bytes == 0 || task.bytes > bytes_max_) return fail(Error::kUnsupported);
    return queue_->submit({const_cast<std::byte*>(task.from), task.bytes, task.to, task.bytes, task.ticket});
  }
  size_t poll(std::span<CopyDone> out) override { return poll_queue(*queue_, out); }
  bool lost() const override { return queue_->lost(); }
  void abandon() override { queue_->abandon(); }
  Result<void> revive() { return queue_->revive(); }

 private:
  std::unique_ptr<Queue> queue_;
  size_t bytes_max_;
};

}  // namespace shadowserve
