// KeyTurns::at_token() on vectors, compiled once for every SIMD target.
#if defined(SHADOWSERVE_TURN_AT_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef SHADOWSERVE_TURN_AT_INL
#undef SHADOWSERVE_TURN_AT_INL
#else
#define SHADOWSERVE_TURN_AT_INL
#endif

#include "codec/calibrated/key_turns.h"
#include "codec/element_simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace shadowserve {
namespace HWY_NAMESPACE {

/// Angles of one token. Reads and writes whole vectors: arrays have room.
HWY_INLINE void turn_at(const KeyTurns& turns, const Turn& chunk, uint32_t token, Turn& turn) {
  const F32 df;
  const float *const cos = turns.token_cos(token), *const sin = turns.token_sin(token);
  for (size_t i = 0; i < turns.pairs(); i += hn::Lanes(df)) {
    const auto chunk_cos = hn::Load(df, chunk.cos.data() + i), chunk_sin = hn::Load(df, chunk.sin.data() + i);
    const auto token_cos = hn::LoadU(df, cos + i), token_sin = hn::LoadU(df, sin + i);
    hn::Store(hn::MulSub(chunk_cos, token_cos, hn::Mul(chunk_sin, token_sin)), df, turn.cos.data() + i);
    hn::Store(hn::MulAdd(chunk_sin, token_cos, hn::Mul(chunk_cos, token_sin)), df, turn.sin.data() + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#endif
