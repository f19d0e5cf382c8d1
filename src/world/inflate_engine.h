// Seam: whoever turns a frame's coded bytes into symbols: this core, or a SmartNIC's decompression engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "contract/result.h"

namespace shadowserve {

struct InflateTask {
  uint8_t coder = 0;  ///< a CoderId of chunk/record.h
  std::span<const std::byte> coded;
  std::span<std::byte> symbols;  ///< filled completely or the task fails
  uint64_t ticket = 0;           ///< handed back in the completion
};

struct InflateDone {
  uint64_t ticket = 0;
  Error error = Error::kNone;  ///< kRecordMalformed, kUnsupported
};

/// Asynchronous like CopyEngine: submit() never waits, completions in any order, one thread.
/// Input is hostile: an engine never writes outside `symbols` and never crashes.
class InflateEngine {
 public:
  virtual ~InflateEngine() = default;
  /// Errors: kNoCapacity = the queue is full, poll and submit again.
  virtual Result<void> submit(const InflateTask& task) = 0;
  virtual size_t poll(std::span<InflateDone> out) = 0;
};

}  // namespace shadowserve
