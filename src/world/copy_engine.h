// Seam: whoever moves bytes between a slot and the engine's staging memory: memcpy, a DMA engine, CUDA.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "contract/limits.h"
#include "contract/result.h"

namespace shadowserve {

/// What an engine takes, to be asked before anything is submitted. Fixed for the engine's life.
struct CopyAbilities {
  size_t depth = 1;                    ///< tasks under way at once
  size_t bytes_max = kRecordBytesMax;  ///< of one task; its owner splits what is larger
};

struct CopyTask {
  std::byte* to = nullptr;
  const std::byte* from = nullptr;
  size_t bytes = 0;
  uint64_t ticket = 0;  ///< handed back in the completion
};

struct CopyDone {
  uint64_t ticket = 0;
  Error error = Error::kNone;  ///< kSystem: the device failed it; `to` holds anything
};

/// Asynchronous: submit() never waits, poll() tells what ended since, in any order. One thread. Both regions
/// stay untouched by others from submit() to the completion.
///
/// Every task that submit() took completes exactly once, whatever happens. A device that is reset completes
/// all of them with an error; from then on the engine is lost() and refuses everything until its owner has
/// opened it again, which blocks and allocates and so is not this interface's business.
class CopyEngine {
 public:
  virtual ~CopyEngine() = default;
  /// Asked by any thread.
  virtual CopyAbilities abilities() const { return {}; }
  /// Errors: kNoCapacity = busy: poll, and submit again in a later step. Any other is a refusal for good, and
  /// nothing will complete: kUnsupported = not this task (too large, memory that the engine does not reach),
  /// kSystem = the engine is lost or about to be.
  virtual Result<void> submit(const CopyTask& task) = 0;
  /// Fills `out` with finished tasks; returns how many.
  virtual size_t poll(std::span<CopyDone> out) = 0;

  /// True when nothing is under way and nothing will be taken. Any thread.
  virtual bool lost() const { return false; }
  /// Asks for everything under way back, because it takes too long: it completes soon, with an error or not,
  /// then the engine is lost. Never waits.
  virtual void abandon() {}
};

/// Copies with this core at submit(); completions wait for poll().
class HostCopyEngine final : public CopyEngine {
 public:
  static constexpr size_t kDepth = 64;
  CopyAbilities abilities() const override { return {kDepth, SIZE_MAX}; }
  Result<void> submit(const CopyTask& task) override;
  size_t poll(std::span<CopyDone> out) override;

 private:
  CopyDone done_[kDepth] = {};
  size_t count_ = 0;
};

}  // namespace shadowserve
