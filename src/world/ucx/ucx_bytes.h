// Numbers in what a relay and its clients say (docs/formats/ucx-relay-v1.md).
#pragma once

#include <cstddef>
#include <cstdint>

namespace shadowserve {

inline constexpr uint32_t kUcxErrnoMax = 4095;  // as the kernel's

/// Four bytes, little-endian.
inline uint32_t load_ucx(const std::byte* from) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value |= std::to_integer<uint32_t>(from[i]) << (8 * i);
  return value;
}
inline void store_ucx(std::byte* to, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) to[i] = static_cast<std::byte>(value >> (8 * i));
}

}  // namespace shadowserve
