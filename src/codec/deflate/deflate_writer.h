// Writes Deflate streams of Huffman-only blocks whose codes are short enough for decoders with small tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "codec/deflate/deflate_format.h"
#include "contract/limits.h"
#include "contract/result.h"

namespace shadowserve {

class BitWriter;

/// One thread at a time. All memory is part of the object.
class DeflateWriter {
 public:
  /// Returns the coded size. Errors: kNoCapacity when `coded` is too small.
  /// REQUIRES at most kFrameBytesMax symbols.
  Result<size_t> write(std::span<const std::byte> symbols, std::span<std::byte> coded);

 private:
  static constexpr uint32_t kDistances = 2;  ///< none is used, but some readers insist on a complete code
  static constexpr size_t kPieceBytes = 32u << 10;  ///< blocks are runs of these that share a code
  static constexpr size_t kBlocksMax = kFrameBytesMax / kPieceBytes;

  struct LengthToken {
    uint8_t symbol;
    uint8_t extra;
  };
  /// A block and what it takes: its bits are known before they are written.
  struct Block {
    size_t symbol_count;
    uint64_t bits;
    uint32_t counts[kLiteralsMin];
    uint8_t lengths[kLiteralsMin];
    uint8_t length_code[kLengthSymbols];
    uint32_t length_codes;  ///< of them in the header
    uint32_t token_count;
    LengthToken tokens[kLiteralsMin + kDistances];
  };

  static void measure(Block& block);
  static void list_tokens(Block& block);
  static void write_header(BitWriter& out, const Block& block, bool last);
  size_t cut_blocks(std::span<const std::byte> symbols);

  Block blocks_[kBlocksMax + 1];  ///< one more to try joints in
};

}  // namespace shadowserve
