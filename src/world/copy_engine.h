// Seam: whoever moves bytes between a slot and the engine's staging memory: memcpy, a DMA engine, CUDA.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "contract/result.h"

namespace shadowserve {

struct CopyTask {
  std::byte* to = nullptr;
  const std::byte* from = nullptr;
  size_t bytes = 0;
  uint64_t ticket = 0;  ///< handed back in the completion
};

struct CopyDone {
  uint64_t ticket = 0;
  Error error = Error::kNone;
};

/// Asynchronous: submit() never waits, poll() tells what ended since, in any order. One thread. Both regions
/// stay untouched by others from submit() to the completion.
class CopyEngine {
 public:
  virtual ~CopyEngine() = default;
  /// Errors: kNoCapacity = the queue is full, poll and submit again.
  virtual Result<void> submit(const CopyTask& task) = 0;
  /// Fills `out` with finished tasks; returns how many.
  virtual size_t poll(std::span<CopyDone> out) = 0;
};

/// Copies with this core at submit(); completions wait for poll(). At most kDepth at once.
class HostCopyEngine final : public CopyEngine {
 public:
  static constexpr size_t kDepth = 64;
  Result<void> submit(const CopyTask& task) override;
  size_t poll(std::span<CopyDone> out) override;

 private:
  CopyDone done_[kDepth] = {};
  size_t count_ = 0;
};

}  // namespace shadowserve
