// Strict on purpose: whatever is odd here is left to the general decoder, whose verdict then counts.
#include "codec/deflate/block_header.h"

#include <algorithm>

#include "codec/deflate/deflate_format.h"

namespace shadowserve {
namespace {

constexpr uint32_t kTableSize = 1u << kLengthCodeBitsMax;

struct LengthCode {
  uint8_t symbol;
  uint8_t bits;
};

/// Every code is at most 7 bits: a table of all patterns. False when the lengths are no complete code.
bool build_length_code(const uint8_t (&lengths)[kLengthSymbols], LengthCode (&table)[kTableSize]) {
  uint32_t code = 0;  // in the order of the bits, left-justified
  for (uint32_t bits = 1; bits <= kLengthCodeBitsMax; ++bits) {
    for (uint32_t symbol = 0; symbol < kLengthSymbols; ++symbol) {
      if (lengths[symbol] != bits) continue;
      if (code >= kTableSize) return false;
      uint32_t reversed = 0;
      for (uint32_t i = 0; i < kLengthCodeBitsMax; ++i)
        reversed |= (code >> i & 1) << (kLengthCodeBitsMax - 1 - i);
      for (uint32_t at = reversed; at < kTableSize; at += 1u << bits) {
        table[at] = {static_cast<uint8_t>(symbol), static_cast<uint8_t>(bits)};
      }
      code += kTableSize >> bits;
    }
  }
  return code == kTableSize;
}

/// Fills lengths[0, count): runs of zeros and of the length before. False when a run goes beyond.
bool read_lengths(BitReader& in, const LengthCode (&table)[kTableSize], uint8_t* lengths, uint32_t count) {
  for (uint32_t at = 0; at < count;) {
    const uint64_t bits = in.peek();
    const LengthCode code = table[bits & (kTableSize - 1)];
    in.skip(code.bits);
    if (code.symbol < kRepeatLength) {
      lengths[at++] = code.symbol;
      continue;
    }
    const RunCode& run = kRunCodes[code.symbol - kRepeatLength];
    const uint32_t repeat =
        run.least + static_cast<uint32_t>(bits >> code.bits & ((1u << run.extra_bits) - 1));
    in.skip(run.extra_bits);
    if (repeat > count - at || (code.symbol == kRepeatLength && at == 0)) return false;
    const uint8_t value = code.symbol == kRepeatLength ? lengths[at - 1] : 0;
    std::fill_n(lengths + at, repeat, value);
    at += repeat;
  }
  return true;
}

bool read_dynamic(BitReader& in, uint8_t (&lengths)[kSymbolCount]) {
  const uint32_t literals = in.take(5) + kLiteralsMin;
  const uint32_t distances = in.take(5) + 1;
  const uint32_t length_codes = in.take(4) + kLengthCodesMin;
  if (literals > kLiteralsMax || distances > kDistancesMax) return false;
  uint8_t code_lengths[kLengthSymbols] = {};
  for (uint32_t i = 0; i < length_codes; ++i)
    code_lengths[kLengthOrder[i]] = static_cast<uint8_t>(in.take(3));
  LengthCode table[kTableSize];
  if (!build_length_code(code_lengths, table)) return false;
  // RFC 1951 lets a run go on from literals to distances; no common writer makes one, and here it is refused.
  uint8_t distance_lengths[kDistancesMax];
  if (!read_lengths(in, table, lengths, literals) || !read_lengths(in, table, distance_lengths, distances)) {
    return false;
  }
  std::fill(lengths + literals, lengths + kSymbolCount, uint8_t{0});
  uint32_t room = 1u << kCodeBitsMax;  // nobody will use the distances, but they must be a code
  for (uint32_t i = 0; i < distances; ++i) {
    const uint32_t share = distance_lengths[i] == 0 ? 0 : 1u << (kCodeBitsMax - distance_lengths[i]);
    if (share > room) return false;
    room -= share;
  }
  return room == 0 && lengths[kEndOfBlock] != 0 && !in.overrun();
}

void fixed_lengths(uint8_t (&lengths)[kSymbolCount]) {
  std::fill(lengths, lengths + 144, uint8_t{8});
  std::fill(lengths + 144, lengths + 256, uint8_t{9});
  std::fill(lengths + 256, lengths + 280, uint8_t{7});
  std::fill(lengths + 280, lengths + kSymbolCount, uint8_t{8});
}

}  // namespace

bool read_block_header(BitReader& in, BlockHeader& header) {
  header.last = in.take(1) != 0;
  const uint32_t kind = in.take(2);
  if (kind == kFixedBlock) {
    fixed_lengths(header.lengths);
    return !in.overrun();
  }
  return kind == kDynamicBlock && read_dynamic(in, header.lengths);
}

}  // namespace shadowserve
