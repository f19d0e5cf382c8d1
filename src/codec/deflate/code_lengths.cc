// Package-merge: among all codes under the limit the one that takes the fewest bits.
#include "codec/deflate/code_lengths.h"

#include <algorithm>

#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr uint32_t kBitsMax = 15;
constexpr uint32_t kItemsMax = 2 * kCodeSymbolsMax;

struct Leaf {
  uint32_t count;
  uint32_t symbol;
};

/// One round of the method: the leaves, and pairs of neighbours of the round before, in the order of weight.
struct Round {
  uint32_t size = 0;
  uint32_t weight[kItemsMax];
};

/// Merges into `now`; leaves_before[i] says how many leaves are among the first i items.
void merge_round(std::span<const Leaf> leaves, const Round& before, Round& now,
                 uint16_t (&leaves_before)[kItemsMax + 1]) {
  const uint32_t pairs = before.size / 2;
  const auto leaf_count = static_cast<uint32_t>(leaves.size());
  now.size = leaf_count + pairs;
  uint32_t leaf = 0, pair = 0;
  for (uint32_t i = 0; i < now.size; ++i) {
    leaves_before[i] = static_cast<uint16_t>(leaf);
    const uint32_t leaf_weight = leaf < leaf_count ? leaves[leaf].count : UINT32_MAX;
    const uint32_t pair_weight =
        pair < pairs ? before.weight[2 * pair] + before.weight[2 * pair + 1] : UINT32_MAX;
    const bool take_leaf = pair == pairs || (leaf < leaf_count && leaf_weight <= pair_weight);
    now.weight[i] = take_leaf ? leaf_weight : pair_weight;
    leaf += take_leaf ? 1 : 0;
    pair += take_leaf ? 0 : 1;
  }
  leaves_before[now.size] = static_cast<uint16_t>(leaf);
}

}  // namespace

void limited_code_lengths(std::span<const uint32_t> counts, uint32_t limit, std::span<uint8_t> lengths) {
  SS_CHECK(counts.size() == lengths.size() && counts.size() <= kCodeSymbolsMax && limit <= kBitsMax,
           "the tables here are large enough");
  Leaf leaves[kCodeSymbolsMax];
  uint32_t used = 0;
  for (uint32_t symbol = 0; symbol < counts.size(); ++symbol) {
    lengths[symbol] = 0;
    if (counts[symbol] != 0) leaves[used++] = {counts[symbol], symbol};
  }
  SS_CHECK(used <= 1u << limit, "so many codes exist");
  if (used == 0) return;
  if (used == 1) {
    lengths[leaves[0].symbol] = 1;
    return;
  }
  std::sort(leaves, leaves + used, [](const Leaf& a, const Leaf& b) {
    return a.count != b.count ? a.count < b.count : a.symbol < b.symbol;
  });
  Round rounds[2];
  uint16_t leaves_before[kBitsMax][kItemsMax + 1];
  for (uint32_t round = 0; round < limit; ++round) {
    merge_round(std::span(leaves, used), rounds[round % 2], rounds[1 - round % 2], leaves_before[round]);
  }
  // The lightest items of the last round are taken, and with each pair the two it was made of. A leaf's code
  // has a bit for every round in which it is taken.
  uint32_t taken = 2 * used - 2;
  for (uint32_t round = limit; round-- > 0;) {
    const uint32_t taken_leaves = leaves_before[round][taken];
    for (uint32_t i = 0; i < taken_leaves; ++i) ++lengths[leaves[i].symbol];
    taken = 2 * (taken - taken_leaves);
  }
}

}  // namespace shadowserve
