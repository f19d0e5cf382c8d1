// The rANS kernels with their tables in registers: two vpermi2b look 64 slots up in a table of 128 bytes.
#if defined(SHADOWSERVE_RANS_AVX512_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef SHADOWSERVE_RANS_AVX512_INL
#undef SHADOWSERVE_RANS_AVX512_INL
#else
#define SHADOWSERVE_RANS_AVX512_INL
#endif

#include <algorithm>
#include <cstring>

#include "codec/rans/rans_kernel.h"
#include "hwy/highway.h"

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
#include <immintrin.h>

// 64 symbols are one register of bytes. Their states are two registers of 16-bit lanes: the even ones' and
// the odd ones', so that bytes interleave (even | odd << 8) without a shuffle, in the order of symbols, which
// is also the order in which lanes take bytes from the stream.
HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {

struct Pair {
  __m512i even, odd;
};

HWY_INLINE Pair split_lanes(const uint16_t* lanes) {
  const __m512i low = _mm512_load_si512(lanes);
  const __m512i high = _mm512_load_si512(lanes + 32);
  const __m512i even_of = _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30,
                                           28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd_of = _mm512_add_epi16(even_of, _mm512_set1_epi16(1));
  return {_mm512_permutex2var_epi16(low, even_of, high), _mm512_permutex2var_epi16(low, odd_of, high)};
}

HWY_INLINE void join_lanes(const Pair& pair, uint16_t* lanes) {
  const __m512i low_of = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7,
                                          38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high_of = _mm512_add_epi16(low_of, _mm512_set1_epi16(16));
  _mm512_store_si512(lanes, _mm512_permutex2var_epi16(pair.even, low_of, pair.odd));
  _mm512_store_si512(lanes + 32, _mm512_permutex2var_epi16(pair.even, high_of, pair.odd));
}

/// The low bytes of `even` and the low bytes of `odd`, interleaved.
HWY_INLINE __m512i interleave_low(__m512i even, __m512i odd) {
  return _mm512_ternarylogic_epi64(_mm512_set1_epi16(255), even, _mm512_slli_epi16(odd, 8), 0xCA);
}

HWY_INLINE __mmask64 first_lanes(size_t count) { return count >= 64 ? ~0ull : (1ull << count) - 1; }

/// Up to 64 bytes; behind the end zeros, which the mask keeps from being touched.
HWY_INLINE __m512i load_within(const uint8_t* from, const uint8_t* end) {
  return _mm512_maskz_loadu_epi8(first_lanes(static_cast<size_t>(end - from)), from);
}

struct DecodeTables {
  __m512i symbol[2], frequency[2], offset[2];
  __m512i escape_slot;
  explicit HWY_INLINE DecodeTables(const RansLookup& table) {
    for (int half = 0; half < 2; ++half) {
      symbol[half] = _mm512_load_si512(table.symbol.data() + 64 * half);
      frequency[half] = _mm512_load_si512(table.frequency.data() + 64 * half);
      offset[half] = _mm512_load_si512(table.offset.data() + 64 * half);
    }
    escape_slot = _mm512_set1_epi8(static_cast<char>(table.escape_slot));
  }
};

/// Replaces symbols at escape slots by the next literals.
HWY_INLINE __m512i take_literals(__m512i symbols, __mmask64 escaped, RansReading& reading) {
  if (escaped == 0) return symbols;
  const __m512i bytes = load_within(reading.literals, reading.literals_end);
  const size_t wanted = static_cast<size_t>(_mm_popcnt_u64(escaped));
  const size_t left = static_cast<size_t>(reading.literals_end - reading.literals);
  reading.overrun |= wanted > left;
  reading.literals += std::min(wanted, left);
  return _mm512_mask_expand_epi8(symbols, escaped, bytes);
}

/// Decodes 64 symbols. `kWhole`: all of them count and 64 bytes of stream can be read; else only `active`
/// ones do.
template <bool kEscape, bool kWhole>
HWY_INLINE __m512i decode_64(const DecodeTables& tables, Pair& states, const uint8_t*& stream,
                             __mmask64 active, RansReading& reading) {
  const __m512i low_byte = _mm512_set1_epi16(255);
  const __m512i state_min = _mm512_set1_epi16(kRansStateMin);
  const __m512i slots = interleave_low(states.even, states.odd);  // lookups ignore the top bit of each byte
  __m512i symbols = _mm512_permutex2var_epi8(tables.symbol[0], slots, tables.symbol[1]);
  const __m512i frequency = _mm512_permutex2var_epi8(tables.frequency[0], slots, tables.frequency[1]);
  const __m512i offset = _mm512_permutex2var_epi8(tables.offset[0], slots, tables.offset[1]);
  __m512i even = _mm512_mullo_epi16(_mm512_and_si512(frequency, low_byte), _mm512_srli_epi16(states.even, 7));
  __m512i odd = _mm512_mullo_epi16(_mm512_srli_epi16(frequency, 8), _mm512_srli_epi16(states.odd, 7));
  even = _mm512_add_epi16(even, _mm512_and_si512(offset, low_byte));
  odd = _mm512_add_epi16(odd, _mm512_srli_epi16(offset, 8));

  const __m512i high_bytes = _mm512_ternarylogic_epi64(low_byte, _mm512_srli_epi16(even, 8), odd, 0xCA);
  __mmask64 low = _mm512_testn_epi8_mask(high_bytes, high_bytes);
  __mmask32 low_even = _mm512_cmplt_epu16_mask(even, state_min);
  __mmask32 low_odd = _mm512_cmplt_epu16_mask(odd, state_min);
  __m512i bytes;
  if constexpr (kWhole) {
    bytes = _mm512_loadu_si512(stream);
  } else {
    low &= active;
    const auto active_even = static_cast<__mmask32>(_pext_u64(active, 0x5555555555555555));
    const auto active_odd = static_cast<__mmask32>(_pext_u64(active, 0xAAAAAAAAAAAAAAAA));
    low_even &= active_even;
    low_odd &= active_odd;
    even = _mm512_mask_mov_epi16(states.even, active_even, even);
    odd = _mm512_mask_mov_epi16(states.odd, active_odd, odd);
    bytes = load_within(stream, reading.stream_end);
  }
  bytes = _mm512_maskz_expand_epi8(low, bytes);
  stream += _mm_popcnt_u64(low);
  if (!kWhole && stream > reading.stream_end) {
    reading.overrun = true;
    stream = reading.stream_end;
  }
  states.even = _mm512_mask_shldi_epi16(even, low_even, even, _mm512_slli_epi16(bytes, 8), 8);
  states.odd = _mm512_mask_shldi_epi16(odd, low_odd, odd, bytes, 8);
  if constexpr (kEscape) {
    const __m512i slot_only = _mm512_and_si512(slots, _mm512_set1_epi8(kRansSlots - 1));
    const __mmask64 escaped = _mm512_cmpge_epu8_mask(slot_only, tables.escape_slot);
    symbols = take_literals(symbols, kWhole ? escaped : escaped & active, reading);
  }
  return symbols;
}

/// `stream` past the end is only compared, never read: the caller keeps 64 bytes of room for each whole
/// group.
template <bool kEscape>
HWY_INLINE void decode_all(const RansLookup& table, RansReading& reading, uint8_t* symbols, size_t count) {
  const DecodeTables tables(table);
  Pair first = split_lanes(reading.lanes.data());
  Pair second = split_lanes(reading.lanes.data() + 64);
  const uint8_t* stream = reading.stream;
  while (count > 0) {
    // 128 symbols take 128 bytes at most, and each half reads 64 bytes from where it stands.
    const auto left = static_cast<size_t>(reading.stream_end - stream);
    size_t groups = std::min(count / kRansLanes, left / kRansLanes);
    if (groups == 0) {
      const __m512i low = decode_64<kEscape, false>(tables, first, stream, first_lanes(count), reading);
      _mm512_mask_storeu_epi8(symbols, first_lanes(count), low);
      const size_t rest = count > 64 ? count - 64 : 0;
      const __m512i high = decode_64<kEscape, false>(tables, second, stream, first_lanes(rest), reading);
      _mm512_mask_storeu_epi8(symbols + 64, first_lanes(rest), high);
      const size_t done = std::min<size_t>(count, kRansLanes);
      symbols += done;
      count -= done;
      continue;
    }
    count -= groups * kRansLanes;
    for (; groups > 0; --groups, symbols += kRansLanes) {
      _mm512_storeu_si512(symbols, decode_64<kEscape, true>(tables, first, stream, 0, reading));
      _mm512_storeu_si512(symbols + 64, decode_64<kEscape, true>(tables, second, stream, 0, reading));
    }
  }
  reading.stream = stream;
  join_lanes(first, reading.lanes.data());
  join_lanes(second, reading.lanes.data() + 64);
}

/// Puts symbols into rows, kUnit at a time. REQUIRES a width of whole units.
template <size_t kUnit>
class RowStores {
 public:
  explicit HWY_INLINE RowStores(const SymbolRows& rows)
      : row_(rows.first), width_(rows.width), row_bytes_(rows.row_bytes) {}
  HWY_INLINE void put(__m512i symbols) {
    if constexpr (kUnit == 64) {
      _mm512_storeu_si512(row_ + column_, symbols);
      move_on();
    } else if constexpr (kUnit == 32) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(row_ + column_), _mm512_castsi512_si256(symbols));
      move_on();
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(row_ + column_), _mm512_extracti64x4_epi64(symbols, 1));
      move_on();
    } else {
      put_16(_mm512_castsi512_si128(symbols));
      put_16(_mm512_extracti32x4_epi32(symbols, 1));
      put_16(_mm512_extracti32x4_epi32(symbols, 2));
      put_16(_mm512_extracti32x4_epi32(symbols, 3));
    }
  }
  /// Fewer than 64, from memory.
  HWY_INLINE void put_some(const uint8_t* symbols, size_t count) {
    for (size_t i = 0; i < count; i += kUnit, move_on()) std::memcpy(row_ + column_, symbols + i, kUnit);
  }

 private:
  HWY_INLINE void put_16(__m128i symbols) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(row_ + column_), symbols);
    move_on();
  }
  HWY_INLINE void move_on() {
    column_ += kUnit;
    const bool full = column_ == width_;
    row_ += full ? row_bytes_ : 0;
    column_ = full ? 0 : column_;
  }
  uint8_t* row_;
  size_t column_ = 0;
  const size_t width_, row_bytes_;
};

template <size_t kUnit>
HWY_INLINE void decode_rows_of(const RansLookup& table, RansReading& reading, const SymbolRows& rows) {
  const DecodeTables tables(table);
  RowStores<kUnit> stores(rows);
  Pair first = split_lanes(reading.lanes.data());
  Pair second = split_lanes(reading.lanes.data() + 64);
  const uint8_t* stream = reading.stream;
  for (size_t count = rows.width * rows.count; count > 0;) {
    const auto left = static_cast<size_t>(reading.stream_end - stream);
    size_t groups = std::min(count / kRansLanes, left / kRansLanes);
    if (groups == 0) {
      alignas(64) uint8_t some[kRansLanes];
      const size_t now = std::min<size_t>(count, kRansLanes), rest = now > 64 ? now - 64 : 0;
      _mm512_store_si512(some, decode_64<true, false>(tables, first, stream, first_lanes(now), reading));
      _mm512_store_si512(some + 64,
                         decode_64<true, false>(tables, second, stream, first_lanes(rest), reading));
      stores.put_some(some, now);
      count -= now;
      continue;
    }
    count -= groups * kRansLanes;
    for (; groups > 0; --groups) {
      stores.put(decode_64<true, true>(tables, first, stream, 0, reading));
      stores.put(decode_64<true, true>(tables, second, stream, 0, reading));
    }
  }
  reading.stream = stream;
  join_lanes(first, reading.lanes.data());
  join_lanes(second, reading.lanes.data() + 64);
}

HWY_INLINE size_t literals_all(const RansTable& table, const uint8_t* symbols, size_t count,
                               uint8_t* literals, size_t room) {
  const __m512i base = _mm512_set1_epi8(static_cast<char>(table.base));
  const __m512i direct = _mm512_set1_epi8(static_cast<char>(table.direct()));
  size_t found = 0;
  for (size_t at = 0; at < count; at += 64) {
    const __mmask64 active = first_lanes(count - at);
    const __m512i chunk = _mm512_maskz_loadu_epi8(active, symbols + at);
    const __mmask64 escaped = _mm512_mask_cmpge_epu8_mask(active, _mm512_sub_epi8(chunk, base), direct);
    if (escaped == 0) continue;
    const auto more = static_cast<size_t>(_mm_popcnt_u64(escaped));
    const size_t fit = found < room ? std::min(more, room - found) : 0;
    _mm512_mask_storeu_epi8(literals + std::min(found, room), first_lanes(fit),
                            _mm512_maskz_compress_epi8(escaped, chunk));
    found += more;
  }
  return found;
}

struct EncodeTables {
  __m512i frequency, start, reciprocal, base, last;
  explicit HWY_INLINE EncodeTables(const RansEncodeLookup& table)
      : frequency(_mm512_load_si512(table.frequency.data())),
        start(_mm512_load_si512(table.start.data())),
        reciprocal(_mm512_load_si512(table.reciprocal.data())),
        base(_mm512_set1_epi8(static_cast<char>(table.base))),
        last(_mm512_set1_epi8(static_cast<char>(table.last))) {}
};

/// One step of 32 states. `entries` selects by the low bits of each lane. Sets which lanes gave their low
/// byte away.
HWY_INLINE __m512i encode_32(const EncodeTables& tables, __m512i state, __m512i entries, __mmask32 active,
                             __mmask32& given) {
  const __m512i f = _mm512_permutexvar_epi16(entries, tables.frequency);
  const __m512i start = _mm512_permutexvar_epi16(entries, tables.start);
  const __m512i reciprocal = _mm512_permutexvar_epi16(entries, tables.reciprocal);
  given = active & _mm512_cmpge_epu16_mask(state, _mm512_slli_epi16(f, 9));
  const __m512i x = _mm512_mask_srli_epi16(state, given, state, 8);
  // The reciprocal is rounded down, so the quotient is right or one too small.
  __m512i quotient = _mm512_mulhi_epu16(x, reciprocal);
  const __m512i rest = _mm512_sub_epi16(x, _mm512_mullo_epi16(quotient, f));
  const __mmask32 short_by_one = _mm512_cmpge_epu16_mask(rest, f);
  quotient = _mm512_mask_add_epi16(quotient, short_by_one, quotient, _mm512_set1_epi16(1));
  // quotient * 128 + start + (x - quotient * f)
  const __m512i stretch = _mm512_sub_epi16(_mm512_set1_epi16(kRansSlots), f);
  const __m512i next = _mm512_add_epi16(_mm512_add_epi16(x, start), _mm512_mullo_epi16(quotient, stretch));
  return _mm512_mask_mov_epi16(state, active, next);
}

HWY_INLINE void encode_64(const EncodeTables& tables, Pair& states, __m512i symbols, __mmask64 active,
                          uint8_t*& stream) {
  const __m512i entries = _mm512_min_epu8(_mm512_sub_epi8(symbols, tables.base), tables.last);
  const __m512i low_bytes = interleave_low(states.even, states.odd);
  __mmask32 from_even, from_odd;
  const auto active_even = static_cast<__mmask32>(_pext_u64(active, 0x5555555555555555));
  const auto active_odd = static_cast<__mmask32>(_pext_u64(active, 0xAAAAAAAAAAAAAAAA));
  states.even = encode_32(tables, states.even, entries, active_even, from_even);
  states.odd = encode_32(tables, states.odd, _mm512_srli_epi16(entries, 8), active_odd, from_odd);
  const __mmask64 given = _pdep_u64(from_even, 0x5555555555555555) | _pdep_u64(from_odd, 0xAAAAAAAAAAAAAAAA);
  const auto count = static_cast<size_t>(_mm_popcnt_u64(given));
  stream -= count;
  _mm512_mask_storeu_epi8(stream, first_lanes(count), _mm512_maskz_compress_epi8(given, low_bytes));
}

HWY_INLINE bool encode_all(const RansEncodeLookup& table, RansWriting& writing, const uint8_t* symbols,
                           size_t count) {
  const EncodeTables tables(table);
  Pair first = split_lanes(writing.lanes.data());
  Pair second = split_lanes(writing.lanes.data() + 64);
  uint8_t* stream = writing.stream;
  const size_t tail = count % kRansLanes;
  for (size_t at = count; at > 0;) {
    const size_t size = at == count && tail > 0 ? tail : kRansLanes;
    at -= size;
    if (stream - writing.stream_begin < static_cast<ptrdiff_t>(kRansLanes)) return false;
    const __mmask64 low = first_lanes(size);
    const __mmask64 high = size > 64 ? first_lanes(size - 64) : 0;
    encode_64(tables, second, _mm512_maskz_loadu_epi8(high, symbols + at + 64), high, stream);
    encode_64(tables, first, _mm512_maskz_loadu_epi8(low, symbols + at), low, stream);
  }
  writing.stream = stream;
  join_lanes(first, writing.lanes.data());
  join_lanes(second, writing.lanes.data() + 64);
  return true;
}

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();
#endif

#endif
