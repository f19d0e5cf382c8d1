// Rotary position embedding (RoPE, J. Su et al., arXiv 2104.09864) of cached keys, undone at saving and
// redone at placing: cosines and sines by position.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "codec/calibrated/aligned_floats.h"
#include "codec/calibrated/calibration.h"
#include "contract/limits.h"

namespace shadowserve {

inline constexpr uint32_t kTurnPairsMax = kHeadDimMax / 2;

/// Cosines and sines of one angle a pair of channels, [rotary_dim / 2].
struct Turn {
  alignas(64) std::array<float, kTurnPairsMax> cos;
  alignas(64) std::array<float, kTurnPairsMax> sin;
};

/// One kind of rotation, prepared for chunks of so many tokens. Immutable, any thread.
class KeyTurns {
 public:
  KeyTurns(const KeyRotation& rotation, uint32_t chunk_tokens);

  RotationPairing pairing() const { return pairing_; }
  uint32_t pairs() const { return pairs_; }
  size_t stride() const { return stride_; }
  /// Tells different rotations apart, also when one is gone and another has its address.
  uint64_t id() const { return id_; }

  /// The angles at a chunk's first token: position x frequency, in double precision.
  void at_chunk(uint32_t first_position, Turn& chunk) const;
  /// The angles `token` tokens behind, by the sum of both: cos(a + b) = cos a cos b - sin a sin b and
  /// sin(a + b) = sin a cos b + cos a sin b, in float, the second product rounded before it is added.
  void at_token(const Turn& chunk, uint32_t token, Turn& turn) const;
  /// cos and sin of token x frequency, [pairs()]: what at_token() adds.
  const float* token_cos(uint32_t token) const { return token_cos_.data() + size_t{token} * stride_; }
  const float* token_sin(uint32_t token) const { return token_sin_.data() + size_t{token} * stride_; }

 private:
  RotationPairing pairing_;
  uint32_t pairs_;
  size_t stride_;  ///< whole vectors
  uint64_t id_;
  std::vector<double> frequencies_;
  AlignedFloats token_cos_, token_sin_;  ///< [token][stride_]
};

/// Angles of consecutive tokens: cos and sin, each [token][pair] with `stride` floats a token.
struct TurnRows {
  const float* cos = nullptr;
  const float* sin = nullptr;
  size_t stride = 0;
};

/// at_token() of `count` tokens from `first` on into cos and sin, [count][turns.stride()].
void fill_turns_oracle(const KeyTurns& turns, const Turn& chunk, uint32_t first, uint32_t count, float* cos,
                       float* sin);
void fill_turns_simd(const KeyTurns& turns, const Turn& chunk, uint32_t first, uint32_t count, float* cos,
                     float* sin);

/// Angles of a frame's tokens, remembered from plane to plane of a chunk. One thread; 2 MiB, taken when made.
class ChunkTurns {
 public:
  ChunkTurns();
  /// REQUIRES a frame of at most kFrameBytesMax symbols.
  TurnRows at(const KeyTurns& turns, uint32_t first_position, uint32_t first_token, uint32_t tokens);

 private:
  struct Entry {
    uint64_t id = 0;
    uint32_t first_position = 0, first_token = 0, tokens = 0;
    AlignedFloats cos, sin;
  };
  std::array<Entry, 2> entries_;  ///< models have one or two rotations
  size_t next_ = 0;
  Turn chunk_;
};

}  // namespace shadowserve
