// The hot loop: literals of several Deflate streams side by side, so that one waits while others are worked
// on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "codec/deflate/literal_table.h"

namespace shadowserve {

inline constexpr uint32_t kStreamLanes = 4;

/// Where one stream is. `bits` are those at `in`, less what was taken; the highest one set marks how many.
struct StreamCursor {
  const uint8_t* in;
  uint64_t bits;
  uint8_t* out;
};

inline constexpr size_t kPassSymbols = 5;  ///< a refill holds at least 56 bits, a short code at most 11
/// Input that one pass of one lane may use at most (70 bits), and what must be left beyond: a refill reads 8
/// bytes.
inline constexpr size_t kPassInBytes = 10;
inline constexpr size_t kSpareInBytes = 16;

/// Tables of the lanes, together because the loop addresses all of them from one register.
struct StreamTables {
  alignas(64) ShortLiterals literals[kStreamLanes];
  CanonicalCode codes[kStreamLanes];
};

enum class StreamTarget : uint8_t { kPortable, kBest };

/// Decodes up to kPassSymbols literals a pass in each of `count` lanes (1 to kStreamLanes). Returns after
/// `passes` (at least 1), or when a lane stands at what is no literal. Every lane must have room for all
/// passes.
using StreamKernel = void (*)(StreamCursor* lanes, const StreamTables& tables, size_t passes);

/// kStreamLanes kernels, by count of lanes less one.
const StreamKernel* stream_kernels(StreamTarget target);

}  // namespace shadowserve
