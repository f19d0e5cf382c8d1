// The scalar oracle of the rANS kernels: the definition, one symbol at a time.
#include <algorithm>

#include "codec/rans/rans_kernel.h"

namespace shadowserve {
namespace {

constexpr uint32_t kStateEnd = 65536;

uint8_t next_byte(const uint8_t*& from, const uint8_t* end, bool& overrun) {
  if (from < end) return *from++;
  overrun = true;
  return 0;
}

}  // namespace

void rans_decode_oracle(const RansLookup& table, RansReading& reading, uint8_t* symbols, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    uint16_t& state = reading.lanes[i % kRansLanes];
    const uint32_t slot = state % kRansSlots;
    // 16 bits suffice for every state an encoder makes; hostile ones wrap around, everywhere alike.
    uint32_t next = table.frequency[slot] * (state / kRansSlots) + table.offset[slot];
    next %= kStateEnd;
    if (next < kRansStateMin)
      next = next << 8 | next_byte(reading.stream, reading.stream_end, reading.overrun);
    state = static_cast<uint16_t>(next);
    symbols[i] = slot >= table.escape_slot
                     ? next_byte(reading.literals, reading.literals_end, reading.overrun)
                     : table.symbol[slot];
  }
}

bool rans_encode_oracle(const RansEncodeLookup& table, RansWriting& writing, const uint8_t* symbols,
                        size_t count) {
  for (size_t i = count; i-- > 0;) {
    const auto window = static_cast<uint8_t>(symbols[i] - table.base);
    const uint32_t entry = window < table.last ? window : table.last;
    const uint32_t f = table.frequency[entry];
    uint32_t state = writing.lanes[i % kRansLanes];
    if (state >= f * (kStateEnd / kRansSlots)) {
      if (writing.stream == writing.stream_begin) return false;
      *--writing.stream = static_cast<uint8_t>(state);
      state >>= 8;
    }
    writing.lanes[i % kRansLanes] =
        static_cast<uint16_t>(state / f * kRansSlots + table.start[entry] + state % f);
  }
  return true;
}

size_t rans_literals_oracle(const RansTable& table, const uint8_t* symbols, size_t count, uint8_t* literals,
                            size_t room) {
  if (!table.escape) return 0;
  size_t found = 0;
  for (size_t i = 0; i < count; ++i) {
    if (static_cast<uint8_t>(symbols[i] - table.base) < table.direct()) continue;
    if (found < room) literals[found] = symbols[i];
    ++found;
  }
  return found;
}

void rans_decode_rows_oracle(const RansLookup& table, RansReading& reading, const SymbolRows& rows) {
  uint8_t piece[kRansLanes];
  const size_t count = rows.width * rows.count;
  for (size_t at = 0; at < count; at += kRansLanes) {
    const size_t now = std::min<size_t>(kRansLanes, count - at);
    rans_decode_oracle(table, reading, piece, now);
    for (size_t i = 0; i < now; ++i) {
      const size_t symbol = at + i;
      rows.first[symbol / rows.width * rows.row_bytes + symbol % rows.width] = piece[i];
    }
  }
}

}  // namespace shadowserve
