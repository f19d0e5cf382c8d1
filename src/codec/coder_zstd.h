// Zstandard frames (RFC 8878), written at level 1.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "contract/result.h"

namespace shadowserve {

/// One thread at a time. All memory is taken by the constructor: the contexts live in fixed workspaces, so
/// the library cannot allocate even when it would like to resize them.
class ZstdCoder {
 public:
  ZstdCoder();
  ~ZstdCoder();
  ZstdCoder(const ZstdCoder&) = delete;
  ZstdCoder& operator=(const ZstdCoder&) = delete;

  /// Returns the coded size. Errors: kNoCapacity when `coded` is too small.
  Result<size_t> encode(std::span<const std::byte> symbols, std::span<std::byte> coded);
  /// `coded` must be one frame that gives exactly symbols.size() bytes. Errors: kRecordMalformed.
  Result<void> decode(std::span<const std::byte> coded, std::span<std::byte> symbols);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace shadowserve
