// The rANS decoder for vectors that hold no 128-byte table in two registers: entries are found by comparing
// slots with their starts, or, on NEON, looked up in eight registers.
#if defined(SHADOWSERVE_RANS_COMPARE_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef SHADOWSERVE_RANS_COMPARE_INL
#undef SHADOWSERVE_RANS_COMPARE_INL
#else
#define SHADOWSERVE_RANS_COMPARE_INL
#endif

#include <algorithm>
#include <cstring>

#include "codec/rans/rans_expand.h"
#include "codec/rans/rans_kernel.h"
#include "hwy/highway.h"

#if HWY_TARGET != HWY_SCALAR && !(HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL)

#undef SHADOWSERVE_RANS_NEON
#define SHADOWSERVE_RANS_NEON (HWY_ARCH_ARM_A64 && HWY_TARGET != HWY_EMU128)

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Two blocks of 16 bytes at most: wider vectors have better instructions.
using U8 = hn::CappedTag<uint8_t, 32>;
using I8 = hn::RebindToSigned<U8>;
using U16 = hn::Repartition<uint16_t, U8>;
using U8Block = hn::FixedTag<uint8_t, 16>;
using U64Block = hn::FixedTag<uint64_t, 2>;
using VU8 = hn::Vec<U8>;
using VU16 = hn::Vec<U16>;

constexpr size_t kGroup = HWY_MAX_BYTES < 32 ? 16 : 32;  // symbols a vector
constexpr size_t kGroups = kRansLanes / kGroup;

/// States apart by parity, as in a pair of registers for each group.
struct SplitStates {
  alignas(64) uint16_t even[kGroups][kGroup / 2];
  alignas(64) uint16_t odd[kGroups][kGroup / 2];

  explicit SplitStates(const std::array<uint16_t, kRansLanes>& lanes) {
    for (size_t i = 0; i < kRansLanes; ++i) at(i) = lanes[i];
  }
  void give_back(std::array<uint16_t, kRansLanes>& lanes) {
    for (size_t i = 0; i < kRansLanes; ++i) lanes[i] = at(i);
  }
  uint16_t& at(size_t lane) {
    auto& half = lane % 2 == 0 ? even : odd;
    return half[lane / kGroup][lane % kGroup / 2];
  }
};

#if SHADOWSERVE_RANS_NEON
/// Tables of 32 bytes, looked up by entry: one instruction takes both registers.
struct EntryTable {
  uint8x16x2_t bytes;
  explicit HWY_INLINE EntryTable(const uint8_t* from) : bytes{{vld1q_u8(from), vld1q_u8(from + 16)}} {}
  template <bool kWide>
  HWY_INLINE VU8 at(VU8 entry) const {
    return VU8(kWide ? vqtbl2q_u8(bytes, entry.raw) : vqtbl1q_u8(bytes.val[0], entry.raw));
  }
};
#else
/// Tables of 32 bytes, looked up by entry.
struct EntryTable {
  VU8 low, high;
  explicit HWY_INLINE EntryTable(const uint8_t* bytes)
      : low(hn::LoadDup128(U8(), bytes)), high(hn::LoadDup128(U8(), bytes + 16)) {}
  template <bool kWide>
  HWY_INLINE VU8 at(VU8 entry) const {
    if constexpr (!kWide) return hn::TableLookupBytes(low, entry);
    const VU8 within = hn::And(entry, hn::Set(U8(), 15));
    const auto second = hn::RebindMask(U8(), hn::Gt(hn::BitCast(I8(), entry), hn::Set(I8(), 15)));
    return hn::IfThenElse(second, hn::TableLookupBytes(high, within), hn::TableLookupBytes(low, within));
  }
};
#endif

#if SHADOWSERVE_RANS_NEON
/// What a decoder holds of a table. `kWide`: more than 16 entries.
template <bool kWide>
struct DecodeTables {
  EntryTable frequency, start;
  uint8x16x4_t low, high;  ///< the entries of slots 0 to 63 and of the others

  explicit HWY_INLINE DecodeTables(const RansLookup& table)
      : frequency(table.entry_frequency.data()),
        start(table.start.data()),
        low(entries(table, 0)),
        high(entries(table, 64)) {}
  static HWY_INLINE uint8x16x4_t entries(const RansLookup& table, size_t slot) {
    const uint8x16_t base = vdupq_n_u8(table.base);
    uint8x16x4_t of;
    for (size_t i = 0; i < 4; ++i) of.val[i] = vsubq_u8(vld1q_u8(table.symbol.data() + slot + 16 * i), base);
    return of;
  }
  /// Slots outside a half read as zero, or leave what the other half gave.
  HWY_INLINE VU8 entry_of(VU8 slots) const {
    return VU8(vqtbx4q_u8(vqtbl4q_u8(low, slots.raw), high, vsubq_u8(slots.raw, vdupq_n_u8(64))));
  }
};
#else
/// What a decoder holds of a table. `kWide`: more than 16 entries.
template <bool kWide>
struct DecodeTables {
  EntryTable frequency, start, below;
  hn::Vec<I8> middle;  ///< one below the first slot of entry 8 or 16

  explicit HWY_INLINE DecodeTables(const RansLookup& table)
      : frequency(table.entry_frequency.data()),
        start(table.start.data()),
        below(below_starts(table).data()),
        middle(hn::Set(I8(), static_cast<int8_t>(below_starts(table)[kWide ? 16 : 8]))) {}

  /// One below each entry's first slot; entries that are not there begin behind the last slot.
  static std::array<uint8_t, kRansEntriesMax> below_starts(const RansLookup& table) {
    std::array<uint8_t, kRansEntriesMax> below;
    below.fill(kRansSlots - 1);
    for (size_t i = 1; i < table.count; ++i) below[i] = static_cast<uint8_t>(table.start[i] - 1);
    return below;
  }

  /// The last entry that begins at or before the slot, found by halving.
  HWY_INLINE VU8 entry_of(VU8 slots) const {
    const I8 di;
    const auto signed_slots = hn::BitCast(di, slots);
    const auto step = [&](VU8 entry, uint8_t half) HWY_ATTR {
      const VU8 candidate = hn::Or(entry, hn::Set(U8(), half));
      const auto limit = hn::BitCast(di, below.template at<kWide>(candidate));
      const auto beyond = hn::BitCast(U8(), hn::VecFromMask(di, hn::Gt(signed_slots, limit)));
      return hn::Or(entry, hn::And(beyond, hn::Set(U8(), half)));
    };
    constexpr uint8_t kFirst = kWide ? 16 : 8;
    VU8 entry =
        hn::And(hn::BitCast(U8(), hn::VecFromMask(di, hn::Gt(signed_slots, middle))), hn::Set(U8(), kFirst));
    if constexpr (kWide) entry = step(entry, 8);
    return step(step(step(entry, 4), 2), 1);
  }
};
#endif

/// Bit i: lane i is set.
HWY_INLINE uint32_t bits_of(hn::Mask<U8> lanes) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  return static_cast<uint32_t>(lanes.raw);
#elif HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  return static_cast<uint32_t>(_mm256_movemask_epi8(hn::VecFromMask(U8(), lanes).raw));
#elif HWY_ARCH_X86 && HWY_TARGET <= HWY_SSSE3
  return static_cast<uint32_t>(_mm_movemask_epi8(hn::VecFromMask(U8(), lanes).raw));
#elif SHADOWSERVE_RANS_NEON
  constexpr uint8_t kOwnBit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint8x16_t bits = vandq_u8(lanes.raw, vld1q_u8(kOwnBit));
  for (int sums = 0; sums < 3; ++sums) bits = vpaddq_u8(bits, bits);
  return vgetq_lane_u16(vreinterpretq_u16_u8(bits), 0);
#else
  alignas(8) uint8_t bits[8] = {};
  hn::StoreMaskBits(U8(), lanes, bits);
  uint32_t word;
  std::memcpy(&word, bits, sizeof word);
  return word;
#endif
}

/// How many of eight lanes take a byte: NEON counts bits only in vectors, which takes longer than to look it
/// up.
HWY_INLINE uint64_t taken_by(uint32_t bits) {
  return SHADOWSERVE_RANS_NEON ? kRansTaken[bits] : hwy::PopCount(bits);
}

/// The next bytes of the stream, spread to the 16 lanes whose bits are set; zeros elsewhere.
HWY_INLINE hn::Vec<U8Block> spread_16(uint32_t bits, const uint8_t*& stream) {
  const uint32_t low = bits & 255, high = bits >> 8 & 255;
  const uint64_t taken = taken_by(low);
  uint64_t order[2] = {kRansSpread[low], kRansSpread[high] + taken * 0x0101010101010101};
  const auto bytes = hn::LoadU(U8Block(), stream);
  stream += taken + taken_by(high);
  auto control = hn::Set(U64Block(), order[0]);
  control = hn::InsertLane(control, 1, order[1]);
  return hn::TableLookupBytesOr0(bytes, hn::BitCast(U8Block(), control));
}

HWY_INLINE VU8 spread(hn::Mask<U8> lanes, const uint8_t*& stream) {
  uint32_t word = bits_of(lanes);
#if HWY_MAX_BYTES < 32
  return spread_16(word, stream);
#else
  const auto low = spread_16(word & 0xffff, stream);
  const auto high = spread_16(word >> 16, stream);
  return hn::Combine(U8(), high, low);
#endif
}

/// Decodes kGroup symbols. REQUIRES kGroup readable bytes of stream.
template <bool kWide>
HWY_INLINE void decode_group(const DecodeTables<kWide>& tables, SplitStates& states, size_t group,
                             const uint8_t*& stream, VU8& entry) {
  const U16 d;
  const auto low_byte = hn::Set(d, 255);
  VU16 even = hn::Load(d, states.even[group]);
  VU16 odd = hn::Load(d, states.odd[group]);
  const auto low_bytes = hn::Or(hn::And(even, low_byte), hn::ShiftLeft<8>(odd));
  const VU8 slots = hn::And(hn::BitCast(U8(), low_bytes), hn::Set(U8(), kRansSlots - 1));
  entry = tables.entry_of(slots);
  const auto frequency = hn::BitCast(d, tables.frequency.template at<kWide>(entry));
  const auto offset = hn::BitCast(d, hn::Sub(slots, tables.start.template at<kWide>(entry)));
  even = hn::Add(hn::Mul(hn::And(frequency, low_byte), hn::ShiftRight<7>(even)), hn::And(offset, low_byte));
  odd = hn::Add(hn::Mul(hn::ShiftRight<8>(frequency), hn::ShiftRight<7>(odd)), hn::ShiftRight<8>(offset));

  const auto high_bytes = hn::Or(hn::ShiftRight<8>(even), hn::AndNot(low_byte, odd));
  const auto low = hn::Eq(hn::BitCast(U8(), high_bytes), hn::Zero(U8()));
  const auto bytes = hn::BitCast(d, spread(low, stream));
  const auto zero = hn::Zero(d);
  const auto even_next = hn::Or(hn::ShiftLeft<8>(even), hn::And(bytes, low_byte));
  const auto odd_next = hn::Or(hn::ShiftLeft<8>(odd), hn::ShiftRight<8>(bytes));
  hn::Store(hn::IfThenElse(hn::Eq(hn::ShiftRight<8>(even), zero), even_next, even), d, states.even[group]);
  hn::Store(hn::IfThenElse(hn::Eq(hn::ShiftRight<8>(odd), zero), odd_next, odd), d, states.odd[group]);
}

/// Replaces the symbols of the last entry by literals, in order.
inline void patch_literals(RansReading& reading, hn::Mask<U8> escaped, uint8_t* symbols) {
  uint32_t word = bits_of(escaped);
  for (; word != 0; word &= word - 1) {
    const bool there = reading.literals < reading.literals_end;
    symbols[__builtin_ctz(word)] = there ? *reading.literals : 0;
    reading.literals += there ? 1 : 0;
    reading.overrun |= !there;
  }
}

template <bool kWide>
void decode_all(const RansLookup& table, RansReading& reading, uint8_t* symbols, size_t count) {
  const DecodeTables<kWide> tables(table);
  const VU8 base = hn::Set(U8(), table.base);
  const bool has_escape = table.escape_slot < kRansSlots;
  const VU8 last = hn::Set(U8(), static_cast<uint8_t>(table.count - 1));
  while (count >= kRansLanes) {
    const auto left = static_cast<size_t>(reading.stream_end - reading.stream);
    size_t groups = std::min(count / kRansLanes, left / kRansLanes);  // 128 symbols take 128 bytes at most
    if (groups == 0) break;
    SplitStates states(reading.lanes);
    const uint8_t* stream = reading.stream;
    count -= groups * kRansLanes;
    for (; groups > 0; --groups, symbols += kRansLanes) {
#pragma GCC unroll 8
      for (size_t group = 0; group < kGroups; ++group) {
        VU8 entry;
        decode_group(tables, states, group, stream, entry);
        hn::StoreU(hn::Add(entry, base), U8(), symbols + group * kGroup);
        if (!has_escape) continue;
        const auto escaped = hn::Eq(entry, last);
        if (!hn::AllFalse(U8(), escaped)) patch_literals(reading, escaped, symbols + group * kGroup);
      }
    }
    reading.stream = stream;
    states.give_back(reading.lanes);
  }
  rans_decode_oracle(table, reading, symbols, count);
}

/// What an encoder looks up by entry.
struct EncodeEntryTables {
  EntryTable frequency, start, reciprocal_low, reciprocal_high;
  VU8 base, last;

  explicit HWY_INLINE EncodeEntryTables(const RansEncodeLookup& table)
      : frequency(bytes_of(table.frequency, 0).data()),
        start(bytes_of(table.start, 0).data()),
        reciprocal_low(bytes_of(table.reciprocal, 0).data()),
        reciprocal_high(bytes_of(table.reciprocal, 8).data()),
        base(hn::Set(U8(), table.base)),
        last(hn::Set(U8(), table.last)) {}
  static std::array<uint8_t, kRansEntriesMax> bytes_of(const std::array<uint16_t, kRansEntriesMax>& from,
                                                       int shift) {
    std::array<uint8_t, kRansEntriesMax> bytes;
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(from[i] >> shift);
    return bytes;
  }
};

/// One step of half a group's states. Returns which gave their low byte away, as ones in all bits.
HWY_INLINE VU16 encode_half(uint16_t* states, VU16 f, VU16 start, VU16 reciprocal) {
  const U16 d;
  const VU16 state = hn::Load(d, states);
  // Unsigned comparisons through saturating subtraction: a - b is zero unless a > b.
  const auto zero = hn::Zero(d);
  const VU16 gave = hn::VecFromMask(d, hn::Eq(hn::SaturatedSub(hn::ShiftLeft<9>(f), state), zero));
  const VU16 x = hn::IfThenElse(hn::MaskFromVec(gave), hn::ShiftRight<8>(state), state);
  // The reciprocal is rounded down, so the quotient is right or one too small.
  VU16 quotient = hn::MulHigh(x, reciprocal);
  const VU16 rest = hn::Sub(x, hn::Mul(quotient, f));
  quotient = hn::Sub(quotient, hn::VecFromMask(d, hn::Eq(hn::SaturatedSub(f, rest), zero)));
  const VU16 stretch = hn::Sub(hn::Set(d, kRansSlots), f);
  hn::Store(hn::Add(hn::Add(x, start), hn::Mul(quotient, stretch)), d, states);
  return gave;
}

/// The bytes of 16 lanes whose bits are set, written downwards from `stream`. Touches 8 bytes below what it
/// writes.
HWY_INLINE void gather_16(hn::Vec<U8Block> bytes, uint32_t bits, uint8_t*& stream) {
  const uint32_t low = bits & 255, high = bits >> 8 & 255;
  auto control = hn::Set(U64Block(), kRansGather[low]);
  control = hn::InsertLane(control, 1, kRansGather[high] + 0x0808080808080808);
  alignas(16) uint64_t packed[2];
  hn::Store(hn::BitCast(U64Block(), hn::TableLookupBytes(bytes, hn::BitCast(U8Block(), control))), U64Block(),
            packed);
  std::memcpy(stream - 8, &packed[1], 8);
  stream -= taken_by(high);
  std::memcpy(stream - 8, &packed[0], 8);
  stream -= taken_by(low);
}

HWY_INLINE void encode_group(const EncodeEntryTables& tables, SplitStates& states, size_t group, VU8 symbols,
                             uint8_t*& stream) {
  const U16 d;
  const auto low_byte = hn::Set(d, 255);
  const VU8 entry = hn::Min(hn::Sub(symbols, tables.base), tables.last);
  const VU16 f = hn::BitCast(d, tables.frequency.at<true>(entry));
  const VU16 start = hn::BitCast(d, tables.start.at<true>(entry));
  const VU16 low = hn::BitCast(d, tables.reciprocal_low.at<true>(entry));
  const VU16 high = hn::BitCast(d, tables.reciprocal_high.at<true>(entry));
  const VU16 low_bytes = hn::Or(hn::And(hn::Load(d, states.even[group]), low_byte),
                                hn::ShiftLeft<8>(hn::Load(d, states.odd[group])));
  const VU16 even = encode_half(states.even[group], hn::And(f, low_byte), hn::And(start, low_byte),
                                hn::Or(hn::And(low, low_byte), hn::ShiftLeft<8>(high)));
  const VU16 odd = encode_half(states.odd[group], hn::ShiftRight<8>(f), hn::ShiftRight<8>(start),
                               hn::Or(hn::ShiftRight<8>(low), hn::AndNot(low_byte, high)));
  const VU16 gave = hn::Or(hn::And(even, low_byte), hn::AndNot(low_byte, odd));
  const uint32_t word = bits_of(hn::MaskFromVec(hn::BitCast(U8(), gave)));
  const VU8 bytes = hn::BitCast(U8(), low_bytes);
#if HWY_MAX_BYTES < 32
  gather_16(bytes, word, stream);
#else
  gather_16(hn::UpperHalf(U8Block(), bytes), word >> 16, stream);
  gather_16(hn::LowerHalf(U8Block(), bytes), word & 0xffff, stream);
#endif
}

inline bool encode_all(const RansEncodeLookup& table, RansWriting& writing, const uint8_t* symbols,
                       size_t count) {
  const size_t tail = count % kRansLanes;
  if (!rans_encode_oracle(table, writing, symbols + count - tail, tail)) return false;
  const EncodeEntryTables tables(table);
  SplitStates states(writing.lanes);
  for (size_t at = count - tail; at > 0;) {
    // 128 symbols give 128 bytes at most, and up to 8 below are touched.
    if (writing.stream - writing.stream_begin < static_cast<ptrdiff_t>(kRansLanes + 8)) return false;
    at -= kRansLanes;
    for (size_t group = kGroups; group-- > 0;) {
      encode_group(tables, states, group, hn::LoadU(U8(), symbols + at + group * kGroup), writing.stream);
    }
  }
  states.give_back(writing.lanes);
  return true;
}

/// Literals are rare: vectors without one are passed over.
inline size_t literals_all(const RansTable& table, const uint8_t* symbols, size_t count, uint8_t* literals,
                           size_t room) {
  const auto base = hn::Set(U8(), table.base), end = hn::Set(U8(), static_cast<uint8_t>(table.direct()));
  size_t found = 0, at = 0;
  for (; at + kGroup <= count; at += kGroup) {
    const auto entry = hn::Sub(hn::LoadU(U8(), symbols + at), base);
    if (hn::AllFalse(U8(), hn::Eq(hn::Max(entry, end), entry))) continue;
    found += rans_literals_oracle(table, symbols + at, kGroup, literals + std::min(found, room),
                                  room - std::min(found, room));
  }
  return found + rans_literals_oracle(table, symbols + at, count - at, literals + std::min(found, room),
                                      room - std::min(found, room));
}

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();
#endif

#endif
