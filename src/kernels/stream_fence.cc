// An event recorded on the engine's stream.
#include "kernels/stream_fence.h"

#include <cuda_runtime_api.h>

#include "kernels/current_device.h"

namespace shadowserve {
namespace {

// Clears only what failed here: an error of the engine's own is the engine's to find.
Failure refused() {
  cudaGetLastError();
  return fail(Error::kSystem);
}

}  // namespace

Result<std::shared_ptr<const StreamFence>> StreamFence::record(int device, void* stream) {
  const CurrentDevice current(device);
  if (!current.ok()) return fail(Error::kSystem);
  const auto engine = static_cast<cudaStream_t>(stream);
  cudaStreamCaptureStatus capture{};
  if (cudaStreamIsCapturing(engine, &capture) != cudaSuccess) return refused();
  if (capture != cudaStreamCaptureStatusNone) return fail(Error::kSystem);
  cudaEvent_t event = nullptr;
  if (cudaEventCreateWithFlags(&event, cudaEventDisableTiming) != cudaSuccess) return refused();
  std::shared_ptr<StreamFence> fence(new StreamFence());
  fence->event_ = event;
  if (cudaEventRecord(event, engine) != cudaSuccess) return refused();
  return fence;
}

StreamFence::~StreamFence() {
  // A batch that still waits for it keeps what it waits for: CUDA frees the event behind that.
  if (event_ != nullptr && cudaEventDestroy(static_cast<cudaEvent_t>(event_)) != cudaSuccess)
    cudaGetLastError();
}

}  // namespace shadowserve
