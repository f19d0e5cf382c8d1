// A batch's tables through the twins: whole chunks, one chunk's rest, and what it must not take.
#include "kernels/paged_batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "kernels/paged_trial.h"

namespace shadowserve {
namespace {

using Added = PagedBatch::Added;

// A trial's pages and parts, and a batch to collect them in.
struct Trial {
  explicit Trial(const PagedTrial& trial) : host(trial) {
    memory.layout = host.move(memory.layer_base).layout;
    memory.chunk_tokens = trial.chunk_tokens;
    tables.resize(PagedBatch::tables_bytes(memory));
    batch.emplace(memory, tables);
  }
  uint32_t chunk_of(const StagedPart& part) const { return part.token_first / memory.chunk_tokens; }
  PagedPart part(size_t index, PagedDirection direction = PagedDirection::kScatter) const {
    const StagedPart& staged = host.parts[index];
    const std::span ids =
        std::span(host.block_table)
            .subspan(size_t{chunk_of(staged)} * memory.chunk_blocks(), memory.chunk_blocks());
    return {index, direction, staged.offset_bytes, staged.plane_first, staged.plane_count, ids};
  }
  Added add(const PagedPart& part) { return batch->add(part, host.staging); }
  void add_all() {
    for (size_t i = 0; i < host.parts.size(); ++i) ASSERT_EQ(add(part(i)), Added::kYes);
  }

  PagedTrialMemory host;
  PagedMemory memory;
  std::vector<std::byte> tables;
  std::optional<PagedBatch> batch;
};

// Those whose chunks are whole blocks and move as a whole.
std::vector<PagedTrial> whole_block_trials() {
  std::vector<PagedTrial> trials;
  for (const PagedTrial& trial : paged_trials()) {
    if (trial.chunk_tokens % trial.block_tokens == 0 && trial.token_begin == 0 &&
        trial.token_end == UINT32_MAX && !trial.one_part)
      trials.push_back(trial);
  }
  return trials;
}

TEST(PagedBatch, WholeChunksGoWhereTheFormulaSays) {
  ASSERT_GT(whole_block_trials().size(), 20u);
  for (const PagedTrial& paged : whole_block_trials()) {
    SCOPED_TRACE(paged.name);
    for (bool scatter : {true, false}) {
      Trial trial(paged);
      trial.add_all();
      ASSERT_TRUE(check_paged_move(trial.batch->move()));
      const std::vector<std::byte> pages = scatter ? trial.host.expected(true) : trial.host.pages;
      const std::vector<std::byte> staging = scatter ? trial.host.staging : trial.host.expected(false);
      scatter ? scatter_paged_twin(trial.batch->move()) : gather_paged_twin(trial.batch->move());
      EXPECT_TRUE(trial.host.pages == pages);
      EXPECT_TRUE(trial.host.staging == staging);
    }
  }
}

// The first rows of chunk 1 are the engine's: their blocks may be anything.
TEST(PagedBatch, TheRestOfAChunkGoesAlone) {
  for (uint32_t token_first : {1u, 16u, 21u, 63u}) {
    SCOPED_TRACE(token_first);
    Trial trial({.name = "rest", .token_begin = 64 + token_first, .token_end = 128});
    const std::vector<std::byte> expected = trial.host.expected(true);
    std::vector<int32_t> ids(trial.host.block_table.begin() + 4, trial.host.block_table.begin() + 8);
    for (uint32_t i = 0; i < token_first / 16; ++i) ids[i] = -7;
    for (size_t i = 0; i < trial.host.parts.size(); ++i) {
      if (trial.chunk_of(trial.host.parts[i]) != 1) continue;
      PagedPart part = trial.part(i);
      part.token_first = token_first;
      part.block_ids = ids;
      ASSERT_EQ(trial.add(part), Added::kYes);
      std::fill_n(ids.begin(), token_first / 16, -8);  // not looked at: still the same chunk
    }
    EXPECT_EQ(trial.batch->size(), 2u);
    ASSERT_TRUE(check_paged_move(trial.batch->move()));
    scatter_paged_twin(trial.batch->move());
    EXPECT_TRUE(trial.host.pages == expected);
  }
}

TEST(PagedBatch, OneLaunchHasOneRangeAndOneStaging) {
  Trial trial({.name = "apart"});
  PagedPart rest = trial.part(0);
  rest.token_first = 5;
  ASSERT_EQ(trial.add(rest), Added::kYes);
  PagedPart later = rest;
  later.token_first = 6;
  EXPECT_EQ(trial.add(later), Added::kElsewhere);
  EXPECT_EQ(trial.add(trial.part(0)), Added::kElsewhere) << "whole chunks";
  std::vector<int32_t> other(rest.block_ids.begin(), rest.block_ids.end());
  std::swap(other.front(), other.back());
  PagedPart other_chunk = rest;
  other_chunk.block_ids = other;
  EXPECT_EQ(trial.add(other_chunk), Added::kElsewhere);
  EXPECT_EQ(trial.batch->size(), 1u);

  std::vector<std::byte> staging(trial.host.staging.size());
  trial.batch->clear();
  ASSERT_EQ(trial.add(later), Added::kYes) << "an empty batch takes anything";
  EXPECT_EQ(trial.batch->add(later, staging), Added::kElsewhere) << "another link's staging";
}

TEST(PagedBatch, PartsOfAChunkShareItsBlocks) {
  Trial trial({.name = "shared", .part_planes = 1});
  std::vector<PagedPart> parts;
  for (size_t i = 0; i < trial.host.parts.size(); ++i) parts.push_back(trial.part(i));
  std::sort(parts.begin(), parts.end(),
            [](const auto& a, const auto& b) { return a.block_ids.data() < b.block_ids.data(); });
  for (const PagedPart& part : parts) ASSERT_EQ(trial.add(part), Added::kYes);
  EXPECT_EQ(trial.batch->move().part_count, 3u * 6);
  EXPECT_EQ(trial.batch->move().block_table_size, 3u * 4);
  EXPECT_EQ(trial.batch->move().part_planes_max, 1u);
  const std::vector<std::byte> expected = trial.host.expected(true);
  scatter_paged_twin(trial.batch->move());
  EXPECT_TRUE(trial.host.pages == expected);
}

TEST(PagedBatch, IsFullAndCanBeUsedAgain) {
  Trial trial({.name = "full"});
  for (int round = 0; round < 2; ++round) {
    for (uint32_t i = 0; i < PagedBatch::kPartsMax; ++i) {
      ASSERT_FALSE(trial.batch->full());
      PagedPart part = trial.part(i % 6);
      part.ticket = 1000 + i;
      ASSERT_EQ(trial.add(part), Added::kYes);
    }
    EXPECT_TRUE(trial.batch->full());
    EXPECT_TRUE(check_paged_move(trial.batch->move()));
    EXPECT_LE(trial.batch->tables_used(), trial.tables.size());
    ASSERT_EQ(trial.batch->tickets().size(), PagedBatch::kPartsMax);
    EXPECT_EQ(trial.batch->tickets()[63], 1063u);
    trial.batch->clear();
    EXPECT_EQ(trial.batch->size(), 0u);
  }
}

// Every wrong part comes between right ones, which go where they belong as if it had never been there.
class WrongPart : public testing::Test {
 protected:
  ~WrongPart() override {
    const std::vector<std::byte> expected = trial_.host.expected(true);
    for (size_t i = 0; i < trial_.host.parts.size(); ++i) {
      EXPECT_EQ(trial_.add(wrong_), Added::kRefused) << i;
      EXPECT_EQ(trial_.add(trial_.part(i)), Added::kYes) << i;
    }
    EXPECT_EQ(trial_.add(wrong_), Added::kRefused);
    scatter_paged_twin(trial_.batch->move());
    EXPECT_TRUE(trial_.host.pages == expected);
  }
  Trial trial_{{.name = "wrong"}};
  std::vector<int32_t> ids_{0, 1, 2, 3};
  PagedPart wrong_{.ticket = 99, .staging_offset = 0, .plane_first = 0, .plane_count = 1, .block_ids = ids_};
  int32_t blocks_ = static_cast<int32_t>(trial_.memory.layout.blocks);
};

TEST_F(WrongPart, BlockDoesNotExist) { ids_[3] = blocks_; }
TEST_F(WrongPart, BlockIsNegative) { ids_[0] = -1; }
TEST_F(WrongPart, BlockBehindTokenFirst) { ids_[1] = blocks_, wrong_.token_first = 31; }
TEST_F(WrongPart, TooFewBlocks) { wrong_.block_ids = std::span(ids_).first(3); }
TEST_F(WrongPart, NoBlocks) { wrong_.block_ids = {}; }
TEST_F(WrongPart, TooManyBlocks) { ids_.push_back(4), wrong_.block_ids = ids_; }
TEST_F(WrongPart, BeginsBehindItsChunk) { wrong_.token_first = 64; }
TEST_F(WrongPart, GathersOnlyItsEnd) { wrong_.token_first = 16, wrong_.direction = PagedDirection::kGather; }
TEST_F(WrongPart, NoPlanes) { wrong_.plane_count = 0; }
TEST_F(WrongPart, UnknownPlanes) { wrong_.plane_first = trial_.memory.layout.planes(); }
TEST_F(WrongPart, PlaneCountOverflows) { wrong_.plane_first = 1, wrong_.plane_count = UINT32_MAX; }
TEST_F(WrongPart, BehindStaging) { wrong_.staging_offset = trial_.host.staging.size() - 1; }
TEST_F(WrongPart, OffsetOverflows) { wrong_.staging_offset = UINT64_MAX - 1; }

TEST(PagedBatch, NoStagingIsThePartsError) {
  Trial trial({.name = "no staging"});
  EXPECT_EQ(trial.batch->add(trial.part(0), {}), Added::kRefused);
}

// The tables are all that a launch reads: with copies of them it is the same launch.
TEST(PagedBatch, TablesCanBeElsewhere) {
  Trial trial({.name = "elsewhere"});
  trial.add_all();
  const std::vector<std::byte> expected = trial.host.expected(true);
  std::vector<std::byte> tables(trial.tables.begin(), trial.tables.begin() + trial.batch->tables_used());
  const std::vector<std::byte*> bases = trial.memory.layer_base;
  const PagedMove move = trial.batch->move_with(tables.data(), bases.data());
  std::fill(trial.tables.begin(), trial.tables.end(), std::byte{0xff});
  ASSERT_TRUE(check_paged_move(move));
  scatter_paged_twin(move);
  EXPECT_TRUE(trial.host.pages == expected);
}

class WrongMemory : public testing::Test {
 protected:
  ~WrongMemory() override {
    const auto checked = check_paged_memory(memory_);
    EXPECT_FALSE(checked) << "nothing was wrong";
    if (!checked) {
      EXPECT_EQ(checked.error(), Error::kConfig);
    }
  }
  PagedMemory memory_ = Trial({.name = "memory"}).memory;
};

TEST(PagedBatch, RightMemoryIsRight) {
  for (const PagedTrial& trial : whole_block_trials()) EXPECT_TRUE(check_paged_memory(Trial(trial).memory));
}
TEST_F(WrongMemory, Nothing) { memory_ = {}; }
TEST_F(WrongMemory, NoLayers) { memory_.layout.layers = 0, memory_.layer_base.clear(); }
TEST_F(WrongMemory, LayerWithoutMemory) { memory_.layer_base[1] = nullptr; }
TEST_F(WrongMemory, OneLayerMissing) { memory_.layer_base.pop_back(); }
TEST_F(WrongMemory, ChunksAreNoWholeBlocks) { memory_.chunk_tokens = 60; }
TEST_F(WrongMemory, ChunksWithoutTokens) { memory_.chunk_tokens = 0; }
TEST_F(WrongMemory, ChunksTooLong) { memory_.chunk_tokens = 1u << 20; }
TEST_F(WrongMemory, BlocksWithoutTokens) { memory_.layout.block_tokens = 0; }
TEST_F(WrongMemory, HeadsOverlap) { memory_.layout.head_stride = 1; }
TEST_F(WrongMemory, FourByteElements) { memory_.layout.element_bytes = 4; }

}  // namespace
}  // namespace shadowserve
