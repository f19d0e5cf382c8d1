// Seam: whoever turns a frame's coded bytes into symbols: this core, or a SmartNIC's decompression engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "contract/limits.h"
#include "contract/result.h"

namespace shadowserve {

/// What an engine takes, to be asked before anything is submitted. Fixed for the engine's life.
struct InflateAbilities {
  size_t depth = 1;                           ///< tasks under way at once
  size_t coded_bytes_max = kRecordBytesMax;   ///< of one task
  size_t symbol_bytes_max = kRecordBytesMax;  ///< of one task
  uint32_t coders = 0;                        ///< bit n: the coder with the id n
};

struct InflateTask {
  uint8_t coder = 0;  ///< a CoderId of chunk/record.h
  std::span<const std::byte> coded;
  std::span<std::byte> symbols;  ///< filled completely or the task fails
  uint64_t ticket = 0;           ///< handed back in the completion
};

struct InflateDone {
  uint64_t ticket = 0;
  Error error = Error::kNone;  ///< kRecordMalformed, kUnsupported; kSystem: the device failed it
};

/// Asynchronous like CopyEngine, with the same answers of submit() and the same meaning of a reset: submit()
/// never waits, completions in any order, each exactly once, one thread. Input is hostile: an engine never
/// writes outside `symbols` and never crashes. A device does not know whether it or the frame is at fault
/// (kSystem for both): only a software engine calls a frame malformed.
class InflateEngine {
 public:
  virtual ~InflateEngine() = default;
  /// Asked by any thread.
  virtual InflateAbilities abilities() const { return {}; }
  /// Errors as CopyEngine's; kUnsupported also for a coder that the engine does not know.
  virtual Result<void> submit(const InflateTask& task) = 0;
  virtual size_t poll(std::span<InflateDone> out) = 0;

  virtual bool lost() const { return false; }
  virtual void abandon() {}
};

}  // namespace shadowserve
