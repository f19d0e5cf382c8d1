// Huffman code lengths under a limit: the shortest total among codes of which none is longer than allowed.
#pragma once

#include <cstdint>
#include <span>

namespace shadowserve {

inline constexpr uint32_t kCodeSymbolsMax = 288;

/// Fills lengths[i] for the symbol that occurs counts[i] times; 0 for those that do not occur. The code is
/// complete if at least two symbols occur; one alone gets 1 bit. No allocation.
/// REQUIRES equal sizes, at most kCodeSymbolsMax and 2^limit, limit <= 15, and a sum below 2^28.
void limited_code_lengths(std::span<const uint32_t> counts, uint32_t limit, std::span<uint8_t> lengths);

}  // namespace shadowserve
