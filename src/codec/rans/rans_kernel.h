// The inner loops of the rANS coder: the scalar oracle that defines them and the vector kernels that must
// match it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "codec/rans/rans_table.h"

namespace shadowserve {

/// A decoder between two calls. Pointers stay inside one coded frame; nothing is read at or behind an end.
struct RansReading {
  alignas(64) std::array<uint16_t, kRansLanes> lanes;  ///< state of lane i: of symbols i, i + 128, ...
  const uint8_t* stream;
  const uint8_t* stream_end;
  const uint8_t* literals;
  const uint8_t* literals_end;
  bool overrun;  ///< more bytes were asked for than there are; those read as zero
};

/// Decodes `count` symbols of one table; the first belongs to lane 0. Any input is fine: whatever states and
/// bytes hold, exactly `count` symbols are written and `overrun` tells whether the input sufficed. All
/// implementations agree on every input, hostile or not. No allocation, any thread.
void rans_decode_oracle(const RansLookup& table, RansReading& reading, uint8_t* symbols, size_t count);
void rans_decode_simd(const RansLookup& table, RansReading& reading, uint8_t* symbols, size_t count);

/// Rows of symbols in a wider matrix: symbol i of a table goes to row i / width, column i % width.
struct SymbolRows {
  uint8_t* first;    ///< the first row's first symbol
  size_t row_bytes;  ///< from row to row
  size_t width;
  size_t count;
};

/// The same for width x count symbols that go to rows; nothing else is written.
void rans_decode_rows_oracle(const RansLookup& table, RansReading& reading, const SymbolRows& rows);
void rans_decode_rows_simd(const RansLookup& table, RansReading& reading, const SymbolRows& rows);

/// An encoder between two calls: it works backwards, from the last symbol and the last byte to the first.
struct RansWriting {
  alignas(64) std::array<uint16_t, kRansLanes> lanes;
  uint8_t* stream;        ///< the first byte written so far
  uint8_t* stream_begin;  ///< nothing is written before this one
};

/// Encodes `count` symbols of one table, of which the first belongs to lane 0. False when the room does not
/// suffice: what was written is then useless. REQUIRES that the table has an entry or an escape for each
/// symbol. Both give the same bytes, except that the vector kernel may ask for up to 136 bytes more room.
bool rans_encode_oracle(const RansEncodeLookup& table, RansWriting& writing, const uint8_t* symbols,
                        size_t count);
bool rans_encode_simd(const RansEncodeLookup& table, RansWriting& writing, const uint8_t* symbols,
                      size_t count);

/// Copies the symbols that the table has no entry for to `literals`, in order; returns how many. `room` is
/// how many fit; more are counted and not written.
size_t rans_literals_oracle(const RansTable& table, const uint8_t* symbols, size_t count, uint8_t* literals,
                            size_t room);
size_t rans_literals_simd(const RansTable& table, const uint8_t* symbols, size_t count, uint8_t* literals,
                          size_t room);

}  // namespace shadowserve
