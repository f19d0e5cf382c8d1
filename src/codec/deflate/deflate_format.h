// Numbers of RFC 1951 that its reader and its writer share.
#pragma once

#include <cstdint>

namespace shadowserve {

inline constexpr uint32_t kFixedBlock = 1;
inline constexpr uint32_t kDynamicBlock = 2;

// A dynamic block says how many code lengths it lists: of literals (and lengths of matches), of distances,
// and of the code in which it writes both.
inline constexpr uint32_t kLiteralsMin = 257;
inline constexpr uint32_t kLiteralsMax = 286;
inline constexpr uint32_t kDistancesMax = 30;
inline constexpr uint32_t kLengthCodesMin = 4;
inline constexpr uint32_t kLengthCodeBitsMax = 7;
inline constexpr uint32_t kLengthSymbols = 19;
inline constexpr uint8_t kLengthOrder[kLengthSymbols] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                         11, 4,  12, 3, 13, 2, 14, 1, 15};

/// Symbols from 16 on stand for runs: of the length before, and two kinds of zeros.
inline constexpr uint8_t kRepeatLength = 16;
inline constexpr uint8_t kShortZeros = 17;
inline constexpr uint8_t kLongZeros = 18;
struct RunCode {
  uint8_t least;
  uint8_t extra_bits;
};
inline constexpr RunCode kRunCodes[] = {{3, 2}, {3, 3}, {11, 7}};

}  // namespace shadowserve
