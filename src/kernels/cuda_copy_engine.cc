// Copies on one CUDA stream, an event behind each.
#include "kernels/cuda_copy_engine.h"

#include <cuda_runtime_api.h>

#include "contract/check.h"

namespace shadowserve {

Result<std::unique_ptr<CudaCopyEngine>> CudaCopyEngine::create(int device, const RegisteredMemory& slots) {
  if (device < 0 || device >= gpu_count()) return fail(Error::kConfig);
  std::unique_ptr<CudaCopyEngine> engine(new CudaCopyEngine(device, slots));
  cudaStream_t stream = nullptr;
  // Non-blocking: nothing here waits for the default stream, nor the other way round.
  bool made = cudaSetDevice(device) == cudaSuccess &&
              cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess;
  engine->stream_ = stream;
  for (Copy& copy : engine->copies_) {
    cudaEvent_t event = nullptr;
    // Without timing, events cost the device nothing but a store.
    made = made && cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess;
    copy.event = event;
  }
  if (made) return engine;
  cudaGetLastError();
  return fail(Error::kSystem);
}

CudaCopyEngine::~CudaCopyEngine() {
  cudaSetDevice(device_);
  if (stream_ != nullptr) {
    cudaStreamSynchronize(static_cast<cudaStream_t>(stream_));
    cudaStreamDestroy(static_cast<cudaStream_t>(stream_));
  }
  for (const Copy& copy : copies_) {
    if (copy.event != nullptr) cudaEventDestroy(static_cast<cudaEvent_t>(copy.event));
  }
  cudaGetLastError();
}

bool CudaCopyEngine::start(const CopyTask& task, void* event) {
  const bool to_device = slots_.contains(task.from, task.bytes);
  // Memory that is not registered would be copied by this core, inside the call.
  SS_CHECK(to_device || slots_.contains(task.to, task.bytes), "one side of a copy is slot memory");
  const cudaMemcpyKind kind = to_device ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
  const auto stream = static_cast<cudaStream_t>(stream_);
  // The thread may have served another device's engine since.
  return cudaSetDevice(device_) == cudaSuccess &&
         cudaMemcpyAsync(task.to, task.from, task.bytes, kind, stream) == cudaSuccess &&
         cudaEventRecord(static_cast<cudaEvent_t>(event), stream) == cudaSuccess;
}

Result<void> CudaCopyEngine::submit(const CopyTask& task) {
  if (count_ == kDepth) return fail(Error::kNoCapacity);
  Copy& copy = copies_[(first_ + count_) % kDepth];
  copy.ticket = task.ticket;
  copy.refused = !start(task, copy.event);
  if (copy.refused) cudaGetLastError();
  ++count_;
  return {};
}

size_t CudaCopyEngine::poll(std::span<CopyDone> out) {
  size_t done = 0;
  while (done < out.size() && count_ > 0) {
    const Copy& copy = copies_[first_];
    Error error = Error::kSystem;
    if (!copy.refused) {
      const cudaError_t state = cudaEventQuery(static_cast<cudaEvent_t>(copy.event));
      if (state == cudaErrorNotReady) break;
      if (state == cudaSuccess) error = Error::kNone;
    }
    if (error != Error::kNone) cudaGetLastError();
    out[done++] = {copy.ticket, error};
    first_ = (first_ + 1) % kDepth;
    --count_;
  }
  return done;
}

}  // namespace shadowserve
