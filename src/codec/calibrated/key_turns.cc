// Angles are exact to a few millionths at any position, which is all that undoing and redoing have to share.
#include "codec/calibrated/key_turns.h"

#include <algorithm>
#include <atomic>
#include <cmath>

namespace shadowserve {
namespace {

constexpr size_t kVectorFloats = 16;

uint64_t next_id() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

KeyTurns::KeyTurns(const KeyRotation& rotation, uint32_t chunk_tokens)
    : pairing_(rotation.pairing),
      pairs_(rotation.rotary_dim / 2),
      stride_((pairs_ + kVectorFloats - 1) / kVectorFloats * kVectorFloats),
      id_(next_id()),
      frequencies_(rotation.frequencies.begin(), rotation.frequencies.end()),
      token_cos_(chunk_tokens * stride_),
      token_sin_(chunk_tokens * stride_) {
  for (uint32_t token = 0; token < chunk_tokens; ++token) {
    for (uint32_t pair = 0; pair < pairs_; ++pair) {
      token_cos_[token * stride_ + pair] = static_cast<float>(std::cos(token * frequencies_[pair]));
      token_sin_[token * stride_ + pair] = static_cast<float>(std::sin(token * frequencies_[pair]));
    }
  }
}

void KeyTurns::at_chunk(uint32_t first_position, Turn& chunk) const {
  for (uint32_t pair = 0; pair < pairs_; ++pair) {
    const double angle = first_position * frequencies_[pair];
    chunk.cos[pair] = static_cast<float>(std::cos(angle));
    chunk.sin[pair] = static_cast<float>(std::sin(angle));
  }
}

void KeyTurns::at_token(const Turn& chunk, uint32_t token, Turn& turn) const {
  const float *const cos = token_cos(token), *const sin = token_sin(token);
  for (uint32_t pair = 0; pair < pairs_; ++pair) {
    turn.cos[pair] = std::fma(chunk.cos[pair], cos[pair], -(chunk.sin[pair] * sin[pair]));
    turn.sin[pair] = std::fma(chunk.sin[pair], cos[pair], chunk.cos[pair] * sin[pair]);
  }
}

void fill_turns_oracle(const KeyTurns& turns, const Turn& chunk, uint32_t first, uint32_t count, float* cos,
                       float* sin) {
  Turn turn;
  for (uint32_t token = 0; token < count; ++token) {
    turns.at_token(chunk, first + token, turn);
    std::copy_n(turn.cos.data(), turns.pairs(), cos + token * turns.stride());
    std::copy_n(turn.sin.data(), turns.pairs(), sin + token * turns.stride());
  }
}

// A frame has at most kFrameBytesMax symbols, and half as many pairs; whole vectors a token may add to that.
ChunkTurns::ChunkTurns() {
  for (Entry& entry : entries_) {
    entry.cos.resize(kFrameBytesMax / 2 + kVectorFloats * kChunkTokensMax);
    entry.sin.resize(kFrameBytesMax / 2 + kVectorFloats * kChunkTokensMax);
  }
}

TurnRows ChunkTurns::at(const KeyTurns& turns, uint32_t first_position, uint32_t first_token,
                        uint32_t tokens) {
  for (const Entry& entry : entries_) {
    if (entry.id == turns.id() && entry.first_position == first_position &&
        entry.first_token == first_token && entry.tokens >= tokens) {
      return {entry.cos.data(), entry.sin.data(), turns.stride()};
    }
  }
  Entry& entry = entries_[next_++ % entries_.size()];
  entry.id = turns.id();
  entry.first_position = first_position;
  entry.first_token = first_token;
  entry.tokens = tokens;
  turns.at_chunk(first_position, chunk_);
  fill_turns_simd(turns, chunk_, first_token, tokens, entry.cos.data(), entry.sin.data());
  return {entry.cos.data(), entry.sin.data(), turns.stride()};
}

}  // namespace shadowserve
