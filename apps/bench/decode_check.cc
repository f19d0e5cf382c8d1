// Compares what was decoded with what it should be.
#include "bench/decode_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace shadowserve {

std::optional<size_t> first_difference(std::span<const std::byte> expected,
                                       std::span<const std::byte> actual) {
  const size_t both = std::min(expected.size(), actual.size());
  if (both == 0 || std::memcmp(expected.data(), actual.data(), both) == 0) {
    return expected.size() == actual.size() ? std::nullopt : std::optional(both);
  }
  const auto [left, right] =
      std::mismatch(expected.begin(), expected.begin() + static_cast<ptrdiff_t>(both), actual.begin());
  return static_cast<size_t>(left - expected.begin());
}

void expect_same(const std::string& who, const std::string& what, std::span<const std::byte> expected,
                 std::span<const std::byte> actual) {
  if (const auto at = first_difference(expected, actual)) {
    throw WrongDecode(
        fmt::format("{}: {} differ from byte {} of {} on; its rate is worth nothing and the bench ends. "
                    "This is a bug: please report it with the shape and the profile",
                    who, what, *at, expected.size()));
  }
}

}  // namespace shadowserve
