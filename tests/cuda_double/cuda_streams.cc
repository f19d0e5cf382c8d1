// Streams, events and captures of the double.
#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "cuda_objects.h"

namespace shadowserve::cuda_double {
namespace {

std::mutex all_mutex;
std::vector<cudaStream_t> all_streams;
// Never freed before the end: what waits for an event may outlive its owner, as with CUDA.
std::vector<std::unique_ptr<CudaDoubleEvent>> all_events;

std::atomic<bool> capture_active{false}, capture_spoilt{false};
thread_local cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;
thread_local cudaError_t last_error = cudaSuccess;

}  // namespace

cudaError_t told(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

void not_while_capturing() {
  if (capture_active && capture_mode != cudaStreamCaptureModeRelaxed) capture_spoilt = true;
}

bool any_stream_touches(const void* memory, size_t bytes) {
  const std::lock_guard lock(all_mutex);
  return std::ranges::any_of(all_streams, [=](cudaStream_t each) { return each->touches(memory, bytes); });
}

void finish_all_streams() {
  const std::lock_guard lock(all_mutex);
  for (cudaStream_t each : all_streams) each->finish();
}

}  // namespace shadowserve::cuda_double

using namespace shadowserve::cuda_double;

CudaDoubleStream::CudaDoubleStream() : thread_([this] { empty_queue(); }) {}

CudaDoubleStream::~CudaDoubleStream() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    work_.notify_one();
  }
  thread_.join();
}

void CudaDoubleStream::empty_queue() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return count_ > 0 || ending_; });
    if (count_ == 0) return;
    Work& work = queue_[first_];
    lock.unlock();
    work.run(work.what);
    lock.lock();
    first_ = (first_ + 1) % kDepth;
    --count_;
    room_.notify_all();
  }
}

void CudaDoubleStream::finish() {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [this] { return count_ == 0; });
}

bool CudaDoubleStream::touches(const void* memory, size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(memory);
  const auto overlaps = [=](const void* at, size_t length) {
    const auto* from = static_cast<const std::byte*>(at);
    return from != nullptr && from < begin + bytes && begin < from + length;
  };
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < count_; ++i) {
    const Work& work = queue_[(first_ + i) % kDepth];
    if (overlaps(work.reads, work.bytes) || overlaps(work.writes, work.bytes)) return true;
  }
  return false;
}

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CudaDoubleStream();
  const std::lock_guard lock(all_mutex);
  all_streams.push_back(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  {
    const std::lock_guard lock(all_mutex);
    std::erase(all_streams, stream);
  }
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  not_while_capturing();
  if (stream != nullptr) stream->finish();
  return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  stream->put([=] { function(argument); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  auto made = std::make_unique<CudaDoubleEvent>();
  *event = made.get();
  const std::lock_guard lock(all_mutex);
  all_events.push_back(std::move(made));
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (stream != nullptr && stream->capturing) return told(cudaErrorStreamCaptureUnsupported);
  const uint64_t number = ++event->recorded;
  if (stream == nullptr) {
    event->pass(number);
  } else {
    stream->put([=] { event->pass(number); });
  }
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  not_while_capturing();
  return event->passed < event->recorded ? cudaErrorNotReady : cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const uint64_t number = event->recorded;
  stream->put([=] { event->wait_for(number); });
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(capture_mode, *mode);
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const bool capturing = stream != nullptr && stream->capturing;
  *status = capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  capture_spoilt = false;
  capture_active = stream->capturing = true;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  capture_active = stream->capturing = false;
  *graph = nullptr;
  return capture_spoilt.exchange(false) ? told(cudaErrorStreamCaptureInvalidated) : cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }
