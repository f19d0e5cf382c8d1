// Tables grow by doubling: the table of one length, twice in a row, is the next one's with gaps to fill.
#include "codec/deflate/literal_table.h"

#include <bit>
#include <cstring>

namespace shadowserve {
namespace {

uint32_t reverse_15(uint32_t bits) {
  bits = (bits >> 1 & 0x5555) | (bits & 0x5555) << 1;
  bits = (bits >> 2 & 0x3333) | (bits & 0x3333) << 2;
  bits = (bits >> 4 & 0x0f0f) | (bits & 0x0f0f) << 4;
  bits = (bits >> 8 & 0x00ff) | (bits & 0x00ff) << 8;
  return bits >> 1;
}

/// Adds one to a number whose bits stand in reverse. REQUIRES a zero among the bits of `mask`.
uint32_t next_reversed(uint32_t code, uint32_t mask) {
  const uint32_t top_zero = std::bit_floor(code ^ mask);
  return (code & (top_zero - 1)) | top_zero;
}

void fill_short_literals(const CanonicalCode& code, const uint32_t (&counts)[kCodeBitsMax + 1],
                         ShortLiterals& table) {
  const uint16_t* symbol = code.symbols;
  uint32_t reversed = 0;
  uint32_t size = 1;
  bool full = false;  // every bit pattern has its code
  for (uint32_t bits = 1; bits <= kLiteralTableBits; ++bits) {
    std::memcpy(table + size, table, size * sizeof table[0]);
    size *= 2;
    for (uint32_t i = 0; i < counts[bits]; ++i, ++symbol) {
      table[reversed] = *symbol < kEndOfBlock ? static_cast<uint16_t>(*symbol << 8 | bits) : kNoShortLiteral;
      full = reversed == size - 1;
      if (!full) reversed = next_reversed(reversed, size - 1);
    }
    if (full) break;
  }
  for (; size <= kLiteralTableMask; size *= 2) std::memcpy(table + size, table, size * sizeof table[0]);
  while (!full) {  // the rest begins codes that are longer
    table[reversed] = kNoShortLiteral;
    full = reversed == kLiteralTableMask;
    if (!full) reversed = next_reversed(reversed, kLiteralTableMask);
  }
}

}  // namespace

bool build_literal_code(std::span<const uint8_t, kSymbolCount> lengths, CanonicalCode& code,
                        ShortLiterals& table) {
  uint32_t counts[kCodeBitsMax + 1] = {};
  for (const uint8_t length : lengths) ++counts[length];
  uint32_t next = 0, listed = 0;
  uint32_t place[kCodeBitsMax + 1] = {};
  for (uint32_t bits = 1; bits <= kCodeBitsMax; ++bits) {
    next <<= 1;
    place[bits] = listed;
    code.index[bits] = static_cast<int16_t>(static_cast<int32_t>(listed) - static_cast<int32_t>(next));
    listed += counts[bits];
    next += counts[bits];
    if (next > 1u << bits) return false;
    code.end[bits] = static_cast<uint16_t>(next << (kCodeBitsMax - bits));
  }
  if (next != 1u << kCodeBitsMax) return false;
  for (uint32_t symbol = 0; symbol < kSymbolCount; ++symbol) {
    if (lengths[symbol] != 0) code.symbols[place[lengths[symbol]]++] = static_cast<uint16_t>(symbol);
  }
  fill_short_literals(code, counts, table);
  return true;
}

DecodedSymbol decode_symbol(const CanonicalCode& code, uint64_t bits) {
  const uint32_t ordered = reverse_15(bits & 0x7fff);
  uint32_t length = 1;
  while (ordered >= code.end[length]) ++length;  // ends: a complete code's last end is beyond any 15 bits
  const auto number = static_cast<int32_t>(ordered >> (kCodeBitsMax - length));
  return {code.symbols[number + code.index[length]], length};
}

}  // namespace shadowserve
