// The frequencies of one rANS table: fitted to symbols, checked when they come from outside, and spread into
// the arrays the kernels look things up in.
#pragma once

#include <array>
#include <cstdint>
#include <span>

// The coder is a range asymmetric numeral system (J. Duda, arXiv 1311.2540): a state x of 16 bits,
// probabilities in 128ths, renormalized by whole bytes, 128 states taking turns. Decoding one symbol:
//   slot = x mod 128; symbol, f, offset = tables at slot; x = f * (x / 128) + offset; if x < 256: x = x * 256
//   + byte
// 128 slots are what two vector registers of bytes hold; 128ths cost 0.4 % in size on real KV caches, and
// because states stay two bits above the slots less is lost in rounding them than with 256ths.
namespace shadowserve {

inline constexpr uint32_t kRansSlots = 128;
inline constexpr uint32_t kRansLanes = 128;
inline constexpr uint32_t kRansStateMin = 256;  ///< states are in [kRansStateMin, 65536)
/// Entries of a table, the escape included: what one register of 16-bit entries holds while encoding.
inline constexpr uint32_t kRansEntriesMax = 32;

/// Symbols base .. base + count - 1 have entries of their own. With `escape` one more entry follows: it
/// stands for any other byte, which is then a literal.
struct RansTable {
  uint8_t base = 0;
  uint8_t count = 0;  ///< entries, the escape included: 2 to kRansEntriesMax
  bool escape = false;
  std::array<uint8_t, kRansEntriesMax> frequency{};  ///< sum kRansSlots, each below kRansSlots

  uint32_t direct() const { return count - (escape ? 1u : 0u); }
  /// Two symbols, equally likely.
  static RansTable uniform();
  /// True when the sums, bounds and the window are right: everything a kernel relies on.
  bool valid() const;

  friend bool operator==(const RansTable&, const RansTable&) = default;
};

/// How often each byte value occurs.
using SymbolCounts = std::array<uint32_t, 256>;
void count_symbols(std::span<const uint8_t> symbols, SymbolCounts& counts);

/// The table with (nearly) the fewest bits for symbols that occur this often: window, escape and frequencies.
/// Symbols that occur always have an entry or the escape. REQUIRES at least one symbol.
RansTable fit_rans_table(const SymbolCounts& counts);

/// Bits that symbols with these counts take under the table, literals included, before rounding of states.
double rans_bits(const RansTable& table, const SymbolCounts& counts);

/// What decoders look up by slot, and by entry where there are no registers for 128 slots.
struct RansLookup {
  alignas(64) std::array<uint8_t, kRansSlots> symbol;  ///< base + entry: the byte value but at escape slots
  alignas(64) std::array<uint8_t, kRansSlots> frequency;
  alignas(64) std::array<uint8_t, kRansSlots> offset;  ///< slot - first slot of the entry
  std::array<uint8_t, kRansEntriesMax> start;          ///< first slot of an entry
  std::array<uint8_t, kRansEntriesMax> entry_frequency;
  uint8_t count;
  uint8_t base;
  uint8_t escape_slot;  ///< the first slot of the escape; kRansSlots: there is none

  /// REQUIRES table.valid().
  explicit RansLookup(const RansTable& table);
};

/// What encoders look up by entry.
struct RansEncodeLookup {
  alignas(64) std::array<uint16_t, kRansEntriesMax> frequency{};
  alignas(64) std::array<uint16_t, kRansEntriesMax> start{};
  alignas(
      64) std::array<uint16_t, kRansEntriesMax> reciprocal{};  ///< floor(65536 / frequency), at most 65535
  uint8_t base;
  uint8_t last;  ///< the last entry: the escape if there is one
  bool escape;

  /// REQUIRES table.valid().
  explicit RansEncodeLookup(const RansTable& table);
};

}  // namespace shadowserve
