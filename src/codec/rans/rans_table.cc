// Fits frequencies to counts: a window of direct entries, an escape for what is rare, and 128ths shared out
// greedily.
#include "codec/rans/rans_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr double kLiteralBits = 8;
/// Windows that save nothing before the search ends: one may, where frequencies happen to round badly.
constexpr uint32_t kWorseWindowsMax = 2;

/// log2 of 0 (as 1) to kRansSlots: fitting asks for them often, and runs on every frame that is saved.
const std::array<double, kRansSlots + 1> kLog2 = [] {
  std::array<double, kRansSlots + 1> table{};
  for (uint32_t i = 1; i <= kRansSlots; ++i) table[i] = std::log2(static_cast<double>(i));
  return table;
}();

/// What a symbol costs whose entry has this frequency.
double entry_bits(uint32_t frequency) { return kLog2[kRansSlots] - kLog2[frequency]; }

/// Bits saved (or lost) by `weight` symbols when their frequency goes from `from` to `to`.
double gain(uint64_t weight, uint32_t from, uint32_t to) {
  return static_cast<double>(weight) * (kLog2[to] - kLog2[from]);
}

/// Shares kRansSlots out: everything that occurs gets one or more, the rest goes where it saves most.
void share_out(std::span<const uint64_t> weights, std::span<uint8_t> frequency) {
  uint64_t total = 0;
  for (const uint64_t weight : weights) total += weight;
  uint32_t sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto ideal = std::lround(static_cast<double>(weights[i]) * kRansSlots / static_cast<double>(total));
    const auto floor = weights[i] > 0 ? 1l : 0l;
    frequency[i] = static_cast<uint8_t>(std::clamp(ideal, floor, long{kRansSlots} - 1));
    sum += frequency[i];
  }
  while (sum != kRansSlots) {
    const bool grow = sum < kRansSlots;
    size_t best = weights.size();
    double best_gain = -std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < weights.size(); ++i) {
      const uint32_t f = frequency[i];
      if (grow ? f == kRansSlots - 1 : f <= 1) continue;
      const double saved = f == 0 ? 0 : gain(weights[i], f, grow ? f + 1 : f - 1);
      if (saved > best_gain) best_gain = saved, best = i;
    }
    SS_CHECK(best < weights.size(), "two entries or more always leave room");
    frequency[best] = static_cast<uint8_t>(frequency[best] + (grow ? 1 : -1));
    sum = grow ? sum + 1 : sum - 1;
  }
}

/// The table of symbols first..last, with an escape when something lies outside.
RansTable table_of_window(const SymbolCounts& counts, uint32_t first, uint32_t last, uint64_t total) {
  std::array<uint64_t, kRansEntriesMax> weights{};
  RansTable table;
  uint64_t inside = 0;
  // An entry alone would need 128 of 128: a neighbour takes the last one.
  if (first == last) (first > 0 ? first : last) += first > 0 ? -1u : 1u;
  for (uint32_t symbol = first; symbol <= last; ++symbol) {
    weights[symbol - first] = counts[symbol];
    inside += counts[symbol];
  }
  table.base = static_cast<uint8_t>(first);
  table.count = static_cast<uint8_t>(last - first + 1);
  table.escape = inside < total;
  if (table.escape) weights[table.count++] = total - inside;
  share_out(std::span(weights).first(table.count), table.frequency);
  return table;
}

}  // namespace

RansTable RansTable::uniform() {
  RansTable table;
  table.count = 2;
  table.frequency[0] = table.frequency[1] = kRansSlots / 2;
  return table;
}

bool RansTable::valid() const {
  if (count < 2 || count > kRansEntriesMax || base + direct() > 256 || direct() == 0) return false;
  uint32_t sum = 0;
  for (uint32_t i = 0; i < kRansEntriesMax; ++i) {
    if (frequency[i] >= kRansSlots || (i >= count && frequency[i] != 0)) return false;
    sum += frequency[i];
  }
  return sum == kRansSlots && (!escape || frequency[count - 1u] > 0);
}

void count_symbols(std::span<const uint8_t> symbols, SymbolCounts& counts) {
  // Four tables, so that equal neighbours do not wait for each other's increment.
  uint32_t parts[4][256] = {};
  size_t i = 0;
  for (; i + 8 <= symbols.size(); i += 8) {
    uint64_t eight;
    std::memcpy(&eight, symbols.data() + i, 8);
    for (int k = 0; k < 8; ++k, eight >>= 8) ++parts[k % 4][eight & 255];
  }
  for (; i < symbols.size(); ++i) ++parts[0][symbols[i]];
  for (size_t symbol = 0; symbol < 256; ++symbol) {
    counts[symbol] += parts[0][symbol] + parts[1][symbol] + parts[2][symbol] + parts[3][symbol];
  }
}

RansTable fit_rans_table(const SymbolCounts& counts) {
  uint32_t first = 0, last = 255;
  uint64_t total = 0;
  for (const uint32_t count : counts) total += count;
  SS_CHECK(total > 0, "there is a symbol");
  uint64_t inside = total;
  RansTable best;
  double best_bits = std::numeric_limits<double>::infinity();
  // Take the rarer end off for as long as that saves bits; where the window is too wide, in any case.
  for (uint32_t worse = 0; worse < kWorseWindowsMax;) {
    while (first < last && counts[first] == 0) ++first;
    while (first < last && counts[last] == 0) --last;
    if (last - first + 1 + (inside < total ? 1 : 0) <= kRansEntriesMax) {
      const RansTable table = table_of_window(counts, first, last, total);
      const double bits = rans_bits(table, counts);
      if (bits < best_bits) {
        best = table, best_bits = bits, worse = 0;
      } else {
        ++worse;
      }
    }
    if (first == last) break;
    inside -= std::min(counts[first], counts[last]);
    counts[first] < counts[last] ? ++first : --last;
  }
  SS_CHECK(best.valid(), "some window fits");
  return best;
}

double rans_bits(const RansTable& table, const SymbolCounts& counts) {
  double bits = 0;
  for (uint32_t symbol = 0; symbol < counts.size(); ++symbol) {
    if (counts[symbol] == 0) continue;
    const uint32_t entry = symbol - table.base;
    const bool direct = symbol >= table.base && entry < table.direct() && table.frequency[entry] > 0;
    if (!direct && !table.escape) return std::numeric_limits<double>::infinity();
    const double each = direct ? entry_bits(table.frequency[entry])
                               : entry_bits(table.frequency[table.count - 1u]) + kLiteralBits;
    bits += each * counts[symbol];
  }
  return bits;
}

RansLookup::RansLookup(const RansTable& table)
    : start{}, entry_frequency{}, count(table.count), base(table.base), escape_slot(kRansSlots) {
  uint32_t slot = 0;
  for (uint32_t entry = 0; entry < table.count; ++entry) {
    const uint32_t f = table.frequency[entry];
    start[entry] = static_cast<uint8_t>(slot);
    entry_frequency[entry] = static_cast<uint8_t>(f);
    if (table.escape && entry + 1 == table.count) escape_slot = static_cast<uint8_t>(slot);
    std::memset(symbol.data() + slot, static_cast<uint8_t>(table.base + entry), f);
    std::memset(frequency.data() + slot, static_cast<int>(f), f);
    for (uint32_t i = 0; i < f; ++i) offset[slot + i] = static_cast<uint8_t>(i);
    slot += f;
  }
  SS_CHECK(slot == kRansSlots, "the table is valid");
}

RansEncodeLookup::RansEncodeLookup(const RansTable& table)
    : base(table.base), last(static_cast<uint8_t>(table.count - 1)), escape(table.escape) {
  uint32_t slot = 0;
  for (uint32_t entry = 0; entry < table.count; ++entry) {
    const uint32_t f = table.frequency[entry];
    start[entry] = static_cast<uint16_t>(slot);
    frequency[entry] = static_cast<uint16_t>(f);
    reciprocal[entry] = static_cast<uint16_t>(f == 0 ? 0 : std::min(65535u, 65536u / f));
    slot += f;
  }
}

}  // namespace shadowserve
