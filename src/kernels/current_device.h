// Makes a GPU the thread's current one for a while.
#pragma once

namespace shadowserve {

/// Around a few calls of CUDA on a thread that serves other devices too, or is the engine's own: what was
/// current before is current again afterwards. Also keeps the calls out of a graph that another thread of the
/// process captures meanwhile: a mere cudaEventQuery() would spoil the capture otherwise. Never blocks.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;
  bool ok() const { return ok_; }

 private:
  int capture_mode_ = 0;
  int before_ = 0;
  bool ok_ = false;
  bool changed_ = false;
};

}  // namespace shadowserve
