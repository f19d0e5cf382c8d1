// The thread's current device and capture mode, changed and put back.
#include "kernels/current_device.h"

#include <cuda_runtime_api.h>

namespace shadowserve {
namespace {

int exchange_capture_mode(int mode) {
  auto exchanged = static_cast<cudaStreamCaptureMode>(mode);
  cudaThreadExchangeStreamCaptureMode(&exchanged);
  return exchanged;
}

}  // namespace

CurrentDevice::CurrentDevice(int device)
    : capture_mode_(exchange_capture_mode(cudaStreamCaptureModeRelaxed)) {
  const bool known = cudaGetDevice(&before_) == cudaSuccess;
  ok_ = known && (before_ == device || cudaSetDevice(device) == cudaSuccess);
  changed_ = ok_ && before_ != device;
  if (!ok_) cudaGetLastError();
}

CurrentDevice::~CurrentDevice() {
  if (changed_) cudaSetDevice(before_);
  exchange_capture_mode(capture_mode_);
}

}  // namespace shadowserve
