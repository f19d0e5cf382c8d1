// 16-bit numbers in bytes of any alignment: elements, scales, tokens. All targets are little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace shadowserve {

inline uint16_t load16(const uint8_t* from, size_t index) {
  uint16_t bits;
  std::memcpy(&bits, from + 2 * index, sizeof bits);
  return bits;
}

inline void store16(uint8_t* to, size_t index, uint16_t bits) {
  std::memcpy(to + 2 * index, &bits, sizeof bits);
}

}  // namespace shadowserve
