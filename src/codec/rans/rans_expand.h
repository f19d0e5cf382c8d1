// Where the next bytes go when some of eight lanes want one: the shuffles of decoders without an expand
// instruction.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace shadowserve {

/// kRansSpread[bits]: byte i is the rank of bit i among the set bits, or 0x80 (a zero) where bit i is clear.
inline constexpr std::array<uint64_t, 256> kRansSpread = [] {
  std::array<uint64_t, 256> table{};
  for (uint32_t bits = 0; bits < 256; ++bits) {
    uint64_t rank = 0;
    for (uint32_t i = 0; i < 8; ++i) {
      table[bits] |= (bits >> i & 1 ? rank++ : 0x80) << (8 * i);
    }
  }
  return table;
}();

/// How many lanes take a byte. Counting bits is one instruction only where there is one for it.
inline constexpr std::array<uint8_t, 256> kRansTaken = [] {
  std::array<uint8_t, 256> table{};
  for (uint32_t bits = 0; bits < 256; ++bits) table[bits] = static_cast<uint8_t>(std::popcount(bits));
  return table;
}();

/// kRansGather[bits]: the numbers of the set bits in order, in the last bytes. The first bytes are whatever.
inline constexpr std::array<uint64_t, 256> kRansGather = [] {
  std::array<uint64_t, 256> table{};
  for (uint32_t bits = 0; bits < 256; ++bits) {
    uint32_t at = 8;
    for (uint32_t i = 8; i-- > 0;) {
      if (bits >> i & 1) table[bits] |= uint64_t{i} << (8 * --at);
    }
  }
  return table;
}();

}  // namespace shadowserve
