// A prompt as the simulator sees it: no tokens, only which of its chunks are whose.
#pragma once

#include <algorithm>
#include <cstdint>

#include "contract/limits.h"
#include "sim/fleet/fleet_random.h"

namespace shadowserve::fleet {

inline constexpr uint32_t kChunkTokens = kChunkTokensDefault;

/// Consecutive chunks that are kept, placed and lost together. Equal keys mean equal text from the prompt's
/// start.
struct Run {
  uint64_t key = 0;
  uint32_t first = 0;   ///< chunk of the prompt
  uint32_t chunks = 0;  ///< 0 = behind the prompt's end
};

/// A prefix that many prompts share, and a body of its own; or the keys that a trace names.
struct Prompt {
  const uint64_t* keys = nullptr;  ///< of a trace, `key_count` of them, instead of prefix and body
  uint64_t prefix = 0, body = 0;
  uint32_t key_count = 0;
  uint32_t prefix_chunks = 0;
  uint32_t run_chunks = 1;
  uint32_t input_tokens = 0;

  /// Chunks whose KV another request may use: the last token of a prompt is always computed.
  uint32_t usable_chunks() const { return input_tokens == 0 ? 0 : (input_tokens - 1) / kChunkTokens; }
  /// Complete chunks of the prompt.
  uint32_t whole_chunks() const { return input_tokens / kChunkTokens; }

  /// Run `index` of a text that begins with this prompt and has `total_chunks` complete chunks.
  Run run(uint32_t index, uint32_t total_chunks) const {
    if (keys != nullptr) {
      const uint32_t first = index * run_chunks;
      if (index >= key_count || first >= total_chunks) return {};
      return {keys[index], first, std::min(run_chunks, total_chunks - first)};
    }
    const uint32_t prefix_runs = (prefix_chunks + run_chunks - 1) / run_chunks;
    if (index < prefix_runs) {
      const uint32_t first = index * run_chunks, end = std::min(prefix_chunks, total_chunks);
      if (first >= end) return {};
      return {mixed(prefix, index), first, std::min(run_chunks, end - first)};
    }
    const uint32_t first = prefix_chunks + (index - prefix_runs) * run_chunks;
    if (first >= total_chunks) return {};
    return {mixed(body, index), first, std::min(run_chunks, total_chunks - first)};
  }
};

}  // namespace shadowserve::fleet
