// Deflate frames: RFC 1951 streams of Huffman-only blocks, written here and read by ISA-L.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "contract/result.h"

namespace shadowserve {

/// One thread at a time. All memory is taken by the constructor.
class DeflateCoder {
 public:
  DeflateCoder();
  ~DeflateCoder();
  DeflateCoder(const DeflateCoder&) = delete;
  DeflateCoder& operator=(const DeflateCoder&) = delete;

  /// Returns the coded size. Errors: kNoCapacity when `coded` is too small. REQUIRES a frame's symbols.
  Result<size_t> encode(std::span<const std::byte> symbols, std::span<std::byte> coded);
  /// The stream must give exactly symbols.size() bytes and end with `coded`. Errors: kRecordMalformed.
  Result<void> decode(std::span<const std::byte> coded, std::span<std::byte> symbols);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace shadowserve
