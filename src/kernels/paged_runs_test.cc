// Copies of a part's runs against the direct formula, and what makes two pages one piece.
#include "kernels/paged_runs.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/paged_trial.h"

namespace shadowserve {
namespace {

PagedMemory memory_of(const PagedTrial& trial, const PagedMove& move) {
  PagedMemory memory;
  memory.layout = move.layout;
  memory.layer_base.assign(move.layer_base, move.layer_base + move.layout.layers);
  memory.chunk_tokens = trial.chunk_tokens;
  return memory;
}

void copy(const PagedRuns& runs, bool scatter) {
  for (size_t i = 0; i < runs.size(); ++i) {
    std::byte* to = scatter ? runs.pages()[i] : runs.staging()[i];
    const std::byte* from = scatter ? runs.staging()[i] : runs.pages()[i];
    std::memcpy(to, from, runs.bytes()[i]);
  }
}

bool whole_blocks(const PagedTrial& trial) { return trial.chunk_tokens % trial.block_tokens == 0; }

TEST(PagedRuns, CopyWhatTheFormulaSays) {
  size_t fitting = 0;
  for (const PagedTrial& trial : paged_trials()) {
    SCOPED_TRACE(trial.name);
    for (bool scatter : {true, false}) {
      PagedTrialMemory memory(trial);
      std::vector<std::byte*> bases;
      const PagedMove move = memory.move(bases);
      if (!PagedRuns::fit(move.layout) || !whole_blocks(trial)) continue;
      ++fitting;
      const std::vector<std::byte> pages = scatter ? memory.expected(true) : memory.pages;
      const std::vector<std::byte> staging = scatter ? memory.staging : memory.expected(false);
      PagedRuns runs(memory_of(trial, move));
      for (const StagedPart& part : memory.parts) {
        runs.list(move, part);
        copy(runs, scatter);
      }
      EXPECT_TRUE(memory.pages == pages) << (scatter ? "scatter" : "gather");
      EXPECT_TRUE(memory.staging == staging) << (scatter ? "scatter" : "gather");
    }
  }
  EXPECT_GT(fitting, 20u);
}

TEST(PagedRuns, HeadsThatLieApartDoNotFit) {
  using enum PageOrder;
  for (PageOrder order : {kPairBlockTokenHead, kBlockPairTokenHead, kOnePlane})
    EXPECT_TRUE(PagedRuns::fit(paged_layout({.name = "", .order = order}, 5)));
  for (PageOrder order : {kPairBlockHeadToken, kBlockPairHeadToken, kBlockTokenHeadPair})
    EXPECT_FALSE(PagedRuns::fit(paged_layout({.name = "", .order = order}, 5)));
}

// Blocks of a plane that lie one behind the other.
TEST(PagedRuns, NeighboursAreOnePiece) {
  const PagedTrial trial{.name = "one chunk", .chunks = 1, .part_planes = 1};
  PagedTrialMemory memory(trial);
  std::vector<std::byte*> bases;
  const size_t block_bytes = size_t{trial.block_tokens} * trial.heads * trial.head_dim * trial.element_bytes;
  const auto pieces = [&](std::vector<int32_t> blocks) {
    memory.block_table = std::move(blocks);
    const PagedMove move = memory.move(bases);
    PagedRuns runs(memory_of(trial, move));
    runs.list(move, memory.parts.front());
    return std::vector<size_t>(runs.bytes().begin(), runs.bytes().end());
  };
  EXPECT_EQ(pieces({0, 1, 2, 3}), (std::vector<size_t>{4 * block_bytes}));
  EXPECT_EQ(pieces({3, 4, 0, 1}), (std::vector<size_t>{2 * block_bytes, 2 * block_bytes}));
  EXPECT_EQ(pieces({3, 2, 1, 0}), std::vector<size_t>(4, block_bytes));
}

TEST(PagedRuns, AnEmptyRangeIsNothing) {
  const PagedTrial trial{.name = "", .token_begin = 64, .token_end = 64};
  PagedTrialMemory memory(trial);
  std::vector<std::byte*> bases;
  const PagedMove move = memory.move(bases);
  PagedRuns runs(memory_of(trial, move));
  for (const StagedPart& part : memory.parts) {
    runs.list(move, part);
    EXPECT_EQ(runs.size(), 0u);
  }
}

}  // namespace
}  // namespace shadowserve
