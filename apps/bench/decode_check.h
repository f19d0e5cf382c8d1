// The bench's comparison: a rate of wrong results is worth nothing, so the first wrong byte ends the run.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>

namespace shadowserve {

/// A decode gave something else than was encoded. main() prints the sentence and exits with 1.
struct WrongDecode : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Where the two differ first; the shorter one's end when it is all there is. Nothing when they are equal.
std::optional<size_t> first_difference(std::span<const std::byte> expected,
                                       std::span<const std::byte> actual);

/// Throws WrongDecode unless both are equal. `who` and `what` name the row and the thing compared.
void expect_same(const std::string& who, const std::string& what, std::span<const std::byte> expected,
                 std::span<const std::byte> actual);

}  // namespace shadowserve
