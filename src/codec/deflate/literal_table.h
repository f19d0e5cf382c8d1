// The Huffman code of one block as tables: short literals in one lookup, everything else by its canonical
// order.
#pragma once

#include <cstdint>
#include <span>

namespace shadowserve {

inline constexpr uint32_t kLiteralTableBits =
    11;  // 4 KiB a table: those of all lanes fit a first-level cache
inline constexpr uint32_t kLiteralTableMask = (1u << kLiteralTableBits) - 1;
inline constexpr uint32_t kCodeBitsMax = 15;
inline constexpr uint32_t kSymbolCount = 288;
inline constexpr uint32_t kEndOfBlock = 256;

/// By the next bits of the stream: the code's length in bits 0 to 5, the literal in bits 8 to 15. What is no
/// literal or has a longer code is kNoShortLiteral: a length of zero, so that a loop that ignores it stands
/// still.
using ShortLiterals = uint16_t[1u << kLiteralTableBits];
inline constexpr uint16_t kNoShortLiteral = 0x80;

/// The code's canonical order, which finds any symbol of it.
struct CanonicalCode {
  uint16_t end[kCodeBitsMax + 1];   ///< first code that is longer, by length, shifted to 15 bits
  int16_t index[kCodeBitsMax + 1];  ///< of symbols[], less the first code of a length
  uint16_t symbols[kSymbolCount];   ///< by length, then by number
};

/// `lengths` are kSymbolCount bytes of at most kCodeBitsMax. False when they are no complete code.
bool build_literal_code(std::span<const uint8_t, kSymbolCount> lengths, CanonicalCode& code,
                        ShortLiterals& table);

struct DecodedSymbol {
  uint32_t symbol;
  uint32_t bits;
};
/// The symbol that `bits` begin with; 15 of them must be there.
DecodedSymbol decode_symbol(const CanonicalCode& code, uint64_t bits);

}  // namespace shadowserve
