// The rANS kernels for every SIMD target, chosen at run time.
#include "codec/rans/rans_kernel.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/rans/rans_simd.cc"
#include "hwy/foreach_target.h"  // before highway.h: includes this file once a target

#include "hwy/highway.h"

// Both for every target: each leaves out what the target has no use for, and their guards count inclusions.
#include "codec/rans/rans_avx512-inl.h"
#include "codec/rans/rans_compare-inl.h"

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {

void decode(const RansLookup& table, RansReading& reading, uint8_t* symbols, size_t count);

/// Decodes into the nearest cache and copies from there.
HWY_INLINE void rows_by_pieces(const RansLookup& table, RansReading& reading, const SymbolRows& rows) {
  constexpr size_t kPiece = 16 * kRansLanes;
  uint8_t piece[kPiece];
  uint8_t* row = rows.first;
  size_t column = 0;
  for (size_t left = rows.width * rows.count; left > 0;) {
    const size_t now = std::min(kPiece, left);
    decode(table, reading, piece, now);
    left -= now;
    for (size_t at = 0; at < now;) {
      const size_t run = std::min(rows.width - column, now - at);
      std::memcpy(row + column, piece + at, run);
      at += run;
      column += run;
      if (column < rows.width) continue;
      column = 0;
      row += rows.row_bytes;
    }
  }
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
void decode(const RansLookup& table, RansReading& reading, uint8_t* symbols, size_t count) {
  if (table.escape_slot < kRansSlots) {
    decode_all<true>(table, reading, symbols, count);
  } else {
    decode_all<false>(table, reading, symbols, count);
  }
}
void decode_rows(const RansLookup& table, RansReading& reading, const SymbolRows& rows) {
  if (rows.width % 64 == 0) return decode_rows_of<64>(table, reading, rows);
  if (rows.width % 32 == 0) return decode_rows_of<32>(table, reading, rows);
  if (rows.width % 16 == 0) return decode_rows_of<16>(table, reading, rows);
  rows_by_pieces(table, reading, rows);
}
bool encode(const RansEncodeLookup& table, RansWriting& writing, const uint8_t* symbols, size_t count) {
  return encode_all(table, writing, symbols, count);
}
size_t literals_of(const RansTable& table, const uint8_t* symbols, size_t count, uint8_t* literals,
                   size_t room) {
  return table.escape ? literals_all(table, symbols, count, literals, room) : 0;
}
#else
void decode(const RansLookup& table, RansReading& reading, uint8_t* symbols, size_t count) {
#if HWY_TARGET == HWY_SCALAR
  rans_decode_oracle(table, reading, symbols, count);
#else
  if (table.count > 16) {
    decode_all<true>(table, reading, symbols, count);
  } else {
    decode_all<false>(table, reading, symbols, count);
  }
#endif
}
void decode_rows(const RansLookup& table, RansReading& reading, const SymbolRows& rows) {
  rows_by_pieces(table, reading, rows);
}
bool encode(const RansEncodeLookup& table, RansWriting& writing, const uint8_t* symbols, size_t count) {
#if HWY_TARGET == HWY_SCALAR
  return rans_encode_oracle(table, writing, symbols, count);
#else
  return encode_all(table, writing, symbols, count);
#endif
}
size_t literals_of(const RansTable& table, const uint8_t* symbols, size_t count, uint8_t* literals,
                   size_t room) {
#if HWY_TARGET == HWY_SCALAR
  return rans_literals_oracle(table, symbols, count, literals, room);
#else
  return table.escape ? literals_all(table, symbols, count, literals, room) : 0;
#endif
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace shadowserve {
HWY_EXPORT(decode);
HWY_EXPORT(decode_rows);
HWY_EXPORT(encode);
HWY_EXPORT(literals_of);

void rans_decode_simd(const RansLookup& table, RansReading& reading, uint8_t* symbols, size_t count) {
  HWY_DYNAMIC_DISPATCH(decode)(table, reading, symbols, count);
}
void rans_decode_rows_simd(const RansLookup& table, RansReading& reading, const SymbolRows& rows) {
  HWY_DYNAMIC_DISPATCH(decode_rows)(table, reading, rows);
}
bool rans_encode_simd(const RansEncodeLookup& table, RansWriting& writing, const uint8_t* symbols,
                      size_t count) {
  return HWY_DYNAMIC_DISPATCH(encode)(table, writing, symbols, count);
}
size_t rans_literals_simd(const RansTable& table, const uint8_t* symbols, size_t count, uint8_t* literals,
                          size_t room) {
  return HWY_DYNAMIC_DISPATCH(literals_of)(table, symbols, count, literals, room);
}
}  // namespace shadowserve
#endif  // HWY_ONCE
