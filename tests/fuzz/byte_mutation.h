// What a fuzzer would do to some bytes, but the same in every run: for replays.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <random>
#include <vector>

namespace shadowserve {

/// REQUIRES that there are any.
inline void mutate(std::vector<std::byte>& bytes, std::mt19937& random) {
  const uint32_t interesting[] = {0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x7fffffff, 0xffffffff};
  for (uint32_t i = 0; i < 1 + random() % 4; ++i) {
    const size_t reach = random() % 2 ? bytes.size() : std::min<size_t>(bytes.size(), 400);
    const size_t at = random() % reach;
    switch (random() % 4) {
      case 0:
        bytes[at] ^= std::byte{static_cast<uint8_t>(1u << random() % 8)};
        break;
      case 1:
        bytes[at] = static_cast<std::byte>(random());
        break;
      case 2: {
        const uint32_t value = interesting[random() % std::size(interesting)];
        std::memcpy(bytes.data() + at, &value, std::min<size_t>(4, bytes.size() - at));
        break;
      }
      default: {
        const size_t from = random() % bytes.size();
        const size_t count = std::min({size_t{1 + random() % 32}, bytes.size() - at, bytes.size() - from});
        std::memmove(bytes.data() + at, bytes.data() + from, count);
      }
    }
  }
}

}  // namespace shadowserve
