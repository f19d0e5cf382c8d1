// The copy engine of a GPU: DMA between registered slots and device memory, of this process or another one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "contract/result.h"
#include "kernels/device_memory.h"
#include "world/copy_engine.h"

namespace shadowserve {

/// One stream of one device; copies run and end in the order of submit(). Everything is taken by create():
/// a copy takes an event of a fixed pool. Best 1 to 4 MiB a copy: smaller ones cost the driver's call, which
/// is some microseconds of this core. One thread at a time, which may be another one than create()'s.
///
/// A copy that the driver refuses or that fails on the way completes with kSystem. After a fault of the
/// device itself every later one does too: CUDA gives the process no second chance.
class CudaCopyEngine final : public CopyEngine {
 public:
  static constexpr size_t kDepth = 64;

  /// `slots` (which must outlive the engine) holds the host side of every task. Errors: kConfig = no such
  /// device, kSystem, kUnsupported = built without CUDA. Blocks.
  static Result<std::unique_ptr<CudaCopyEngine>> create(int device, const RegisteredMemory& slots);
  /// Waits for what is under way: the slots are the caller's again.
  ~CudaCopyEngine() override;
  CudaCopyEngine(const CudaCopyEngine&) = delete;
  CudaCopyEngine& operator=(const CudaCopyEngine&) = delete;

  /// REQUIRES that one side lies in the registered slots and the other in device memory that this process
  /// allocated or opened; which of them is `from` is the direction.
  Result<void> submit(const CopyTask& task) override;
  size_t poll(std::span<CopyDone> out) override;

 private:
  struct Copy {
    uint64_t ticket = 0;
    bool refused = false;   ///< never reached the stream
    void* event = nullptr;  ///< cudaEvent_t, recorded behind the copy
  };
  CudaCopyEngine(int device, const RegisteredMemory& slots) : slots_(slots), device_(device) {}
  bool start(const CopyTask& task, void* event);

  const RegisteredMemory& slots_;
  int device_;
  void* stream_ = nullptr;  // cudaStream_t
  // A ring: copies end in order.
  std::array<Copy, kDepth> copies_;
  size_t first_ = 0;
  size_t count_ = 0;
};

}  // namespace shadowserve
