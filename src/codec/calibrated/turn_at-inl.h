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

/// Angles of one token into cos and sin. Reads and writes whole vectors: arrays have room.
HWY_INLINE void turn_at(const KeyTurns& turns, const Turn& chunk, uint32_t token, float* cos, float* sin) {
  const F32 df;
  const float *const token_cos = turns.token_cos(token), *const token_sin = turns.token_sin(token);
  for (size_t i = 0; i < turns.pairs(); i += hn::Lanes(df)) {
    const auto chunk_cos = hn::Load(df, chunk.cos.data() + i), chunk_sin = hn::Load(df, chunk.sin.data() + i);
    const auto this_cos = hn::LoadU(df, token_cos + i), this_sin = hn::LoadU(df, token_sin + i);
    hn::StoreU(hn::MulSub(chunk_cos, this_cos, hn::Mul(chunk_sin, this_sin)), df, cos + i);
    hn::StoreU(hn::MulAdd(chunk_sin, this_cos, hn::Mul(chunk_cos, this_sin)), df, sin + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace shadowserve
HWY_AFTER_NAMESPACE();

#endif
