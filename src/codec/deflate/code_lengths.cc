// Huffman's tree over sorted counts, then leaves that hang too deep are traded for ones that can sink a
// little.
#include "codec/deflate/code_lengths.h"

#include <algorithm>

#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr uint32_t kBitsMax = 15;

struct Leaf {
  uint32_t count;
  uint32_t symbol;
};

/// How many leaves Huffman's tree has at each depth up to `limit`; deeper ones count as `limit`.
/// Both queues of the construction are sorted by themselves: leaves first, then joints as they are made.
void count_depths(std::span<const Leaf> leaves, uint32_t limit, uint32_t (&at_depth)[kBitsMax + 1]) {
  const auto leaf_count = static_cast<uint32_t>(leaves.size());
  uint32_t weight[kCodeSymbolsMax];
  uint32_t parent[2 * kCodeSymbolsMax];  // of leaf i at i, of joint j at leaf_count + j
  uint32_t leaf = 0, joint = 0;
  for (uint32_t made = 0; made + 1 < leaf_count; ++made) {
    weight[made] = 0;
    for (int child = 0; child < 2; ++child) {
      const bool take_leaf = joint == made || (leaf < leaf_count && leaves[leaf].count <= weight[joint]);
      const uint32_t node = take_leaf ? leaf : leaf_count + joint;
      weight[made] += take_leaf ? leaves[leaf++].count : weight[joint++];
      parent[node] = made;
    }
  }
  uint32_t depth[kCodeSymbolsMax];
  depth[leaf_count - 2] = 0;
  for (uint32_t j = leaf_count - 2; j-- > 0;) depth[j] = depth[parent[leaf_count + j]] + 1;
  for (uint32_t i = 0; i < leaf_count; ++i) ++at_depth[std::min(depth[parent[i]] + 1, limit)];
}

/// Makes the depths a complete code again after deep leaves were lifted to `limit`. Each trade pairs a lifted
/// leaf with one from the deepest level above: together they hang one below where that one was.
void trade_leaves(uint32_t limit, uint32_t (&at_depth)[kBitsMax + 1]) {
  uint32_t used = 0;
  for (uint32_t bits = 1; bits <= limit; ++bits) used += at_depth[bits] << (limit - bits);
  for (; used > 1u << limit; --used) {
    uint32_t above = limit - 1;
    while (at_depth[above] == 0) --above;
    --at_depth[above];
    at_depth[above + 1] += 2;
    --at_depth[limit];
  }
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
  uint32_t at_depth[kBitsMax + 1] = {};
  count_depths(std::span(leaves, used), limit, at_depth);
  trade_leaves(limit, at_depth);
  const Leaf* next = leaves;
  for (uint32_t bits = limit; bits > 0; --bits) {
    for (uint32_t i = 0; i < at_depth[bits]; ++i) lengths[(next++)->symbol] = static_cast<uint8_t>(bits);
  }
}

}  // namespace shadowserve
