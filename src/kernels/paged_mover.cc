// Batches on two CUDA streams: fences, tables, one launch, and an event behind it.
#include "kernels/paged_mover.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <utility>

#include "contract/check.h"
#include "kernels/current_device.h"
#include "kernels/paged_copies.h"
#include "kernels/paged_kernels.h"
#include "kernels/paged_runs.h"

namespace shadowserve {
namespace {

cudaStream_t as_stream(void* stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t as_event(void* event) { return static_cast<cudaEvent_t>(event); }

}  // namespace

Result<std::unique_ptr<PagedMover>> PagedMover::create(Memory memory, PagedWay way) {
  if (auto checked = check_paged_memory(memory); !checked) return fail(checked.error());
  if (way == PagedWay::kCopies && !PagedRuns::fit(memory.layout)) return fail(Error::kUnsupported);
  if (memory.device < 0 || memory.device >= gpu_count()) return fail(Error::kConfig);
  std::unique_ptr<PagedMover> mover(new PagedMover(std::move(memory)));
  const CurrentDevice current(mover->memory_.device);
  if (current.ok() && mover->take_streams() && mover->take_batches() && mover->take_launcher(way))
    return mover;
  cudaGetLastError();
  return fail(Error::kSystem);
}

bool PagedMover::take_streams() {
  int lowest = 0;
  int highest = 0;
  if (cudaDeviceGetStreamPriorityRange(&lowest, &highest) != cudaSuccess) return false;
  for (Lane& lane : lanes_) {
    cudaStream_t stream = nullptr;
    if (cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, lowest) != cudaSuccess) return false;
    lane.stream = stream;
  }
  return true;
}

bool PagedMover::take_batches() {
  const size_t tables_bytes = PagedBatch::tables_bytes(memory_);
  void* pinned = nullptr;
  if (cudaHostAlloc(&pinned, kBatchesMax * tables_bytes, cudaHostAllocDefault) != cudaSuccess) return false;
  pinned_ = static_cast<std::byte*>(pinned);

  batches_.reserve(kBatchesMax);
  idle_.reserve(kBatchesMax);
  refused_.reserve(kBatchParts);
  for (uint32_t i = 0; i < kBatchesMax; ++i) {
    Batch& batch = batches_.emplace_back(memory_, std::span(pinned_ + i * tables_bytes, tables_bytes));
    batch.index = i;
    cudaEvent_t event = nullptr;
    if (cudaEventCreateWithFlags(&event, cudaEventDisableTiming) != cudaSuccess) return false;
    batch.event = event;
    idle_.push_back(&batch);
  }
  return true;
}

bool PagedMover::take_launcher(PagedWay way) {
  if (way == PagedWay::kCopies) {
    launcher_ = std::make_unique<PagedCopies>(memory_);
  } else {
    launcher_ = PagedKernels::create(memory_, kBatchesMax, lanes_[0].stream);
  }
  return launcher_ != nullptr;
}

PagedMover::~PagedMover() {
  const CurrentDevice current(memory_.device);
  for (const Lane& lane : lanes_) {
    if (lane.stream == nullptr) continue;
    cudaStreamSynchronize(as_stream(lane.stream));
    cudaStreamDestroy(as_stream(lane.stream));
  }
  for (const Batch& batch : batches_) {
    if (batch.event != nullptr) cudaEventDestroy(as_event(batch.event));
  }
  if (pinned_ != nullptr) cudaFreeHost(pinned_);
  cudaGetLastError();
}

bool PagedMover::Batch::has_room_for(const StreamFence* after) const {
  return after == nullptr || fence_count < kBatchFences || waits_for(after);
}

bool PagedMover::Batch::waits_for(const StreamFence* after) const {
  const auto end = fences.begin() + fence_count;
  return std::find_if(fences.begin(), end, [=](const auto& fence) { return fence.get() == after; }) != end;
}

bool PagedMover::add(const PagedPart& part, std::span<std::byte> staging,
                     std::shared_ptr<const StreamFence> after, std::shared_ptr<const void> keeps) {
  Batch*& open = lanes_[static_cast<size_t>(part.direction)].open[part.token_first > 0 ? 1 : 0];
  if (open != nullptr && !open->has_room_for(after.get())) start(part.direction, open);
  auto added = PagedBatch::Added::kElsewhere;
  while (added == PagedBatch::Added::kElsewhere) {
    if (open == nullptr) {
      if (idle_.empty()) return false;
      open = idle_.back();
      idle_.pop_back();
    }
    added = open->parts.add(part, staging);
    if (added == PagedBatch::Added::kElsewhere) start(part.direction, open);
  }
  if (added == PagedBatch::Added::kRefused) {
    if (refused_.size() == kBatchParts) return false;
    refused_.push_back({part.ticket, Error::kConfig});
  } else {
    if (after != nullptr && !open->waits_for(after.get()))
      open->fences[open->fence_count++] = std::move(after);
    open->keeps = std::move(keeps);
    if (open->parts.full()) start(part.direction, open);
  }
  ++under_way_;
  return true;
}

void PagedMover::flush() {
  for (const auto direction : {PagedDirection::kScatter, PagedDirection::kGather}) {
    for (Batch*& open : lanes_[static_cast<size_t>(direction)].open) {
      if (open != nullptr && open->parts.size() > 0) start(direction, open);
    }
  }
}

void PagedMover::start(PagedDirection direction, Batch*& open) {
  Lane& lane = lanes_[static_cast<size_t>(direction)];
  Batch& batch = *std::exchange(open, nullptr);
  const CurrentDevice current(memory_.device);
  const bool launched = current.ok() && launch(direction, batch);
  batch.error = launched ? Error::kNone : Error::kSystem;
  // Also behind what failed halfway: its tables may still be on their way, and are not free before. Only a
  // device that is lost cannot record; it touches nothing any more.
  batch.ended = cudaEventRecord(as_event(batch.event), as_stream(lane.stream)) != cudaSuccess;
  if (batch.ended) batch.error = Error::kSystem;
  // The runtime remembers a failure until it is asked for; the next launch must not be blamed for it.
  if (batch.error != Error::kNone) cudaGetLastError();
  lane.running[(lane.first + lane.count++) % kBatchesMax] = &batch;
}

bool PagedMover::launch(PagedDirection direction, Batch& batch) {
  SS_CHECK(check_paged_move(batch.parts.move()), "every part was checked when it was added");
  void* stream = lanes_[static_cast<size_t>(direction)].stream;
  for (uint32_t i = 0; i < batch.fence_count; ++i) {
    if (cudaStreamWaitEvent(as_stream(stream), as_event(batch.fences[i]->event()), 0) != cudaSuccess)
      return false;
  }
  return launcher_->launch(batch.index, batch.parts, direction, stream);
}

size_t PagedMover::poll(std::span<PagedDone> out) {
  size_t done = 0;
  while (done < out.size() && !refused_.empty()) {
    out[done++] = refused_.back();
    refused_.pop_back();
  }
  for (Lane& lane : lanes_) {
    while (done < out.size() && lane.count > 0 && has_ended(*lane.running[lane.first])) {
      Batch& batch = *lane.running[lane.first];
      done += batch.hand_out(out.subspan(done));
      if (batch.handed_out < batch.parts.size()) break;
      batch.clear();
      idle_.push_back(&batch);
      lane.first = (lane.first + 1) % kBatchesMax;
      --lane.count;
    }
  }
  under_way_ -= static_cast<uint32_t>(done);
  return done;
}

bool PagedMover::has_ended(Batch& batch) const {
  if (batch.ended) return true;
  const CurrentDevice current(memory_.device);
  const cudaError_t state = cudaEventQuery(as_event(batch.event));
  if (state == cudaErrorNotReady) return false;
  if (state != cudaSuccess) {
    batch.error = Error::kSystem;
    cudaGetLastError();
  }
  batch.ended = true;
  return true;
}

size_t PagedMover::Batch::hand_out(std::span<PagedDone> out) {
  const auto left = parts.tickets().subspan(handed_out);
  const size_t count = std::min(out.size(), left.size());
  for (size_t i = 0; i < count; ++i) out[i] = {left[i], error};
  handed_out += static_cast<uint32_t>(count);
  return count;
}

void PagedMover::Batch::clear() {
  parts.clear();
  for (auto& fence : fences) fence.reset();
  keeps.reset();
  fence_count = handed_out = 0;
  ended = false;
  error = Error::kNone;
}

}  // namespace shadowserve
