// One token's symbols from a frame that has them by class, in the order of channels; compiled once for every
// SIMD target.
#if defined(SHADOWSERVE_SYMBOL_ROWS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef SHADOWSERVE_SYMBOL_ROWS_INL
#undef SHADOWSERVE_SYMBOL_ROWS_INL
#else
#define SHADOWSERVE_SYMBOL_ROWS_INL
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/calibrated/calibrated_model.h"
#include "contract/limits.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

/// Puts tokens' symbols together, one token after the other.
class SymbolRows {
 public:
  HWY_INLINE SymbolRows(const CalibratedPlane& plane, uint32_t tokens, const uint8_t* symbols)
      : runs_(plane.runs), pieces_(plane.pieces) {
    for (size_t run = 0; run < runs_.size(); ++run) from_[run] = symbols + size_t{tokens} * runs_[run].first;
  }
  /// The next token's. `row` has kRegionSlack behind it, as have the symbols.
  HWY_INLINE void next(uint8_t* row) {
    for (const SymbolPiece& piece : pieces_) {
      const __m256i symbols =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from_[piece.run] + piece.within));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(row + piece.to), symbols);
    }
    for (size_t run = 0; run < runs_.size(); ++run) from_[run] += runs_[run].channels;
  }

 private:
  std::span<const ClassRun> runs_;
  std::span<const SymbolPiece> pieces_;
  const uint8_t* from_[kCalibrationClassesMax];
};

/// 64 symbols of a row that SymbolRows put together. `row` and `lookups` are at the group of 128 channels and
/// at the first of the 64; `row` is aligned.
HWY_INLINE __m512i lookup_64(const uint8_t* row, const uint8_t* lookups) {
  return _mm512_permutex2var_epi8(_mm512_load_si512(row), _mm512_loadu_si512(lookups),
                                  _mm512_load_si512(row + 64));
}

#endif

/// A token's symbols in the order of channels, one by one.
HWY_INLINE void gather_symbols(const CalibratedPlane& plane, uint32_t tokens, uint32_t token,
                               const uint8_t* symbols, uint8_t* by_channel) {
  uint8_t by_class[CalibratedModel::kChannelsMax];
  for (const ClassRun& run : plane.runs) {
    std::memcpy(by_class + run.first, symbols + size_t{tokens} * run.first + size_t{token} * run.channels,
                run.channels);
  }
  for (size_t i = 0; i < plane.channels; ++i) by_channel[i] = by_class[plane.places[i]];
}

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#endif
