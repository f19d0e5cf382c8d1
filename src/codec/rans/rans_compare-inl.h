// The rANS decoder for vectors without a 128-byte lookup: entries are found by comparing slots with their
// starts.
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

  explicit SplitStates(const RansReading& reading) {
    for (size_t i = 0; i < kRansLanes; ++i) at(i) = reading.lanes[i];
  }
  void give_back(RansReading& reading) {
    for (size_t i = 0; i < kRansLanes; ++i) reading.lanes[i] = at(i);
  }
  uint16_t& at(size_t lane) {
    auto& half = lane % 2 == 0 ? even : odd;
    return half[lane / kGroup][lane % kGroup / 2];
  }
};

struct CompareTables {
  VU8 frequency[2], start[2];
  alignas(32) int8_t threshold[kRansEntriesMax];  ///< one below each entry's first slot
  size_t entries;
  bool wide;  ///< more entries than one lookup takes

  explicit HWY_INLINE CompareTables(const RansLookup& table) : entries(table.count), wide(table.count > 16) {
    for (int half = 0; half < 2; ++half) {
      frequency[half] = hn::LoadDup128(U8(), table.entry_frequency.data() + 16 * half);
      start[half] = hn::LoadDup128(U8(), table.start.data() + 16 * half);
    }
    for (size_t i = 0; i < entries; ++i) threshold[i] = static_cast<int8_t>(table.start[i] - 1);
  }
  HWY_INLINE VU8 entry_of(VU8 slots) const {
    const I8 di;
    const auto signed_slots = hn::BitCast(di, slots);
    auto entry = hn::Zero(di);
    for (size_t i = 1; i < entries; ++i) {
      entry = hn::Sub(entry, hn::VecFromMask(di, hn::Gt(signed_slots, hn::Set(di, threshold[i]))));
    }
    return hn::BitCast(U8(), entry);
  }
  HWY_INLINE VU8 look_up(const VU8 (&table)[2], VU8 entry) const {
    if (!wide) return hn::TableLookupBytes(table[0], entry);
    const VU8 within = hn::And(entry, hn::Set(U8(), 15));
    const auto high = hn::Gt(hn::BitCast(I8(), entry), hn::Set(I8(), 15));
    return hn::IfThenElse(hn::RebindMask(U8(), high), hn::TableLookupBytes(table[1], within),
                          hn::TableLookupBytes(table[0], within));
  }
};

/// The next bytes of the stream, spread to the 16 lanes whose bits are set; zeros elsewhere.
HWY_INLINE hn::Vec<U8Block> spread_16(uint32_t bits, const uint8_t*& stream) {
  const uint32_t low = bits & 255, high = bits >> 8 & 255;
  const uint64_t taken = kRansBitCount[low];
  uint64_t order[2] = {kRansSpread[low], kRansSpread[high] + taken * 0x0101010101010101};
  const auto bytes = hn::LoadU(U8Block(), stream);
  stream += taken + kRansBitCount[high];
  auto control = hn::Set(U64Block(), order[0]);
  control = hn::InsertLane(control, 1, order[1]);
  return hn::TableLookupBytesOr0(bytes, hn::BitCast(U8Block(), control));
}

HWY_INLINE VU8 spread(hn::Mask<U8> lanes, const uint8_t*& stream) {
  alignas(8) uint8_t bits[8] = {};
  hn::StoreMaskBits(U8(), lanes, bits);
  uint32_t word;
  std::memcpy(&word, bits, sizeof word);
#if HWY_MAX_BYTES < 32
  return spread_16(word, stream);
#else
  const auto low = spread_16(word & 0xffff, stream);
  const auto high = spread_16(word >> 16, stream);
  return hn::Combine(U8(), high, low);
#endif
}

/// Decodes kGroup symbols. REQUIRES kGroup readable bytes of stream.
HWY_INLINE void decode_group(const CompareTables& tables, SplitStates& states, size_t group,
                             const uint8_t*& stream, VU8& entry) {
  const U16 d;
  const auto low_byte = hn::Set(d, 255);
  VU16 even = hn::Load(d, states.even[group]);
  VU16 odd = hn::Load(d, states.odd[group]);
  const auto low_bytes = hn::Or(hn::And(even, low_byte), hn::ShiftLeft<8>(odd));
  const VU8 slots = hn::And(hn::BitCast(U8(), low_bytes), hn::Set(U8(), kRansSlots - 1));
  entry = tables.entry_of(slots);
  const auto frequency = hn::BitCast(d, tables.look_up(tables.frequency, entry));
  const auto offset = hn::BitCast(d, hn::Sub(slots, tables.look_up(tables.start, entry)));
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
  alignas(8) uint8_t bits[8] = {};
  hn::StoreMaskBits(U8(), escaped, bits);
  uint32_t word;
  std::memcpy(&word, bits, sizeof word);
  for (; word != 0; word &= word - 1) {
    const bool there = reading.literals < reading.literals_end;
    symbols[__builtin_ctz(word)] = there ? *reading.literals : 0;
    reading.literals += there ? 1 : 0;
    reading.overrun |= !there;
  }
}

inline void decode_all(const RansLookup& table, RansReading& reading, uint8_t* symbols, size_t count) {
  const CompareTables tables(table);
  const VU8 base = hn::Set(U8(), table.base);
  const bool has_escape = table.escape_slot < kRansSlots;
  const VU8 last = hn::Set(U8(), static_cast<uint8_t>(table.count - 1));
  while (count >= kRansLanes) {
    const auto left = static_cast<size_t>(reading.stream_end - reading.stream);
    size_t groups = std::min(count / kRansLanes, left / kRansLanes);  // 128 symbols take 128 bytes at most
    if (groups == 0) break;
    SplitStates states(reading);
    const uint8_t* stream = reading.stream;
    count -= groups * kRansLanes;
    for (; groups > 0; --groups, symbols += kRansLanes) {
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
    states.give_back(reading);
  }
  rans_decode_oracle(table, reading, symbols, count);
}

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();
#endif

#endif
