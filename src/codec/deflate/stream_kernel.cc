// No branch depends on a symbol: what is not a short literal makes its lane stand still, and is dealt with
// after the pass. Mispredicted branches cost more than the few symbols thrown away.
#include "codec/deflate/stream_kernel.h"

#include <algorithm>
#include <bit>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#define SS_STREAM_KERNEL_BMI2 1
// Shifts by any register, and a count of zeros that is one instruction.
#define SS_TARGET_BMI2 __attribute__((target("bmi,bmi2,lzcnt")))
#endif

namespace shadowserve {
namespace {

constexpr uint64_t kMark = uint64_t{1} << 63;

/// Bits from where the cursor is, at least 56.
inline void refill(const uint8_t*& in, uint64_t& bits) {
  const auto taken = static_cast<uint32_t>(std::countl_zero(bits));
  in += taken / 8;
  std::memcpy(&bits, in, sizeof bits);
  bits = (bits | kMark) >> taken % 8;
}

/// The number of literals of a pass before its lane stood still.
size_t literals_before_stop(uint64_t bits, const ShortLiterals& table) {
  size_t count = 0;
  for (; count < kPassSymbols; ++count) {
    const uint16_t entry = table[bits & kLiteralTableMask];
    if (entry == kNoShortLiteral) break;
    bits >>= entry & 63;
  }
  return count;
}

/// After a pass in which lanes stood still: forgets what those wrote meanwhile, and decodes the one symbol
/// that stopped each. False when one of them is no literal; that lane stays before it.
[[gnu::noinline, gnu::cold]] bool resume_lanes(StreamCursor* lanes, const uint64_t* bits_before,
                                               uint32_t count, const StreamTables& tables) {
  bool all_literals = true;
  for (uint32_t i = 0; i < count; ++i) {
    StreamCursor& lane = lanes[i];
    const size_t literals = literals_before_stop(bits_before[i], tables.literals[i]);
    if (literals == kPassSymbols) continue;
    lane.out -= kPassSymbols - literals;
    refill(lane.in, lane.bits);
    const DecodedSymbol next = decode_symbol(tables.codes[i], lane.bits);
    if (next.symbol < kEndOfBlock) {
      *lane.out++ = static_cast<uint8_t>(next.symbol);
      lane.bits >>= next.bits;
    } else {
      all_literals = false;
    }
  }
  return all_literals;
}

// Written once, compiled for several targets: everything inside must be inlined into its caller.
template <uint32_t kCount>
[[gnu::always_inline]] inline void decode_lanes(StreamCursor* lanes, const StreamTables& tables,
                                                size_t passes) {
  uint64_t bits[kCount], before[kCount];
  const uint8_t* in[kCount];
  uint8_t* out[kCount];
  const auto load = [&] {
#pragma GCC unroll 8
    for (uint32_t i = 0; i < kCount; ++i) {
      bits[i] = lanes[i].bits;
      in[i] = lanes[i].in;
      out[i] = lanes[i].out;
    }
  };
  const auto store = [&] {
#pragma GCC unroll 8
    for (uint32_t i = 0; i < kCount; ++i) lanes[i] = {in[i], bits[i], out[i]};
  };
  load();
  do {
#pragma GCC unroll 8
    for (uint32_t i = 0; i < kCount; ++i) {
      refill(in[i], bits[i]);
      before[i] = bits[i];
    }
    uint32_t stopped = 0;
#pragma GCC unroll 8
    for (size_t k = 0; k < kPassSymbols; ++k) {
#pragma GCC unroll 8
      for (uint32_t i = 0; i < kCount; ++i) {
        const uint32_t entry = tables.literals[i][bits[i] & kLiteralTableMask];
        bits[i] >>= entry & 63;
        out[i][k] = static_cast<uint8_t>(entry >> 8);
        if (k + 1 == kPassSymbols) stopped |= entry;  // who stood still before stands still to the end
      }
    }
#pragma GCC unroll 8
    for (uint32_t i = 0; i < kCount; ++i) out[i] += kPassSymbols;
    if ((stopped & kNoShortLiteral) != 0) [[unlikely]] {
      store();
      if (!resume_lanes(lanes, before, kCount, tables)) return;
      load();
    }
  } while (--passes != 0);
  store();
}

template <uint32_t kCount>
void decode_lanes_portable(StreamCursor* lanes, const StreamTables& tables, size_t passes) {
  decode_lanes<kCount>(lanes, tables, passes);
}
constexpr StreamKernel kPortable[kStreamLanes] = {decode_lanes_portable<1>, decode_lanes_portable<2>,
                                                  decode_lanes_portable<3>, decode_lanes_portable<4>};

#ifdef SS_STREAM_KERNEL_BMI2
template <uint32_t kCount>
SS_TARGET_BMI2 void decode_lanes_bmi2(StreamCursor* lanes, const StreamTables& tables, size_t passes) {
  decode_lanes<kCount>(lanes, tables, passes);
}
constexpr StreamKernel kBmi2[kStreamLanes] = {decode_lanes_bmi2<1>, decode_lanes_bmi2<2>,
                                              decode_lanes_bmi2<3>, decode_lanes_bmi2<4>};
#endif

}  // namespace

const StreamKernel* stream_kernels(StreamTarget target) {
#ifdef SS_STREAM_KERNEL_BMI2
  // Every processor with BMI2 also counts leading zeros.
  if (target == StreamTarget::kBest && __builtin_cpu_supports("bmi2")) return kBmi2;
#endif
  return kPortable;
}

}  // namespace shadowserve
