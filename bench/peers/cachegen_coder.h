// CacheGen's arithmetic coder, written from its description: fixed distributions a layer and channel, a
// stream each.
#pragma once

#include <array>
#include <map>

#include "peers/peer_coder.h"

namespace shadowserve::peers {

/// What is as published: 16-bit cumulative distributions known to both sides beforehand, 32-bit arithmetic
/// coding without adaptation, and a stream for every channel of a group of tokens, so that a GPU could decode
/// them side by side. What is not: this one runs on one core, one stream after the other. Distributions are
/// learned from the very blocks that are coded and their size is not counted, both in its favour.
class CacheGenCoder final : public PeerCoder {
 public:
  static constexpr size_t kLevelsMax = 32;

  std::string name() const override { return "CacheGen's coder"; }
  std::string note() const override {
    return "re-implemented; its tables are known beforehand and not counted";
  }
  void learn(std::span<const SymbolBlock> blocks) override;
  size_t encode(const SymbolBlock& block, std::span<uint8_t> coded) override;
  bool decode(std::span<const uint8_t> coded, const BlockPlace& place, std::span<uint8_t> bytes) override;

 private:
  /// Cumulative frequencies of 2^16; entry i is where symbol i begins. The end, 65536, stands in no 16-bit
  /// entry.
  using Distribution = std::array<uint16_t, kLevelsMax>;
  /// By plane, then channel.
  std::map<uint32_t, std::vector<Distribution>> distributions_;
};

}  // namespace shadowserve::peers
