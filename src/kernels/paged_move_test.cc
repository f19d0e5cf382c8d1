// The twins against the direct formula, and the checks that stand before the kernels.
#include "kernels/paged_move.h"

#include <gtest/gtest.h>

#include "kernels/device_memory.h"
#include "kernels/paged_trial.h"

namespace shadowserve {
namespace {

TEST(PagedMove, TwinsDoWhatTheFormulaSays) {
  for (const PagedTrial& trial : paged_trials()) {
    SCOPED_TRACE(trial.name);
    for (bool scatter : {true, false}) {
      PagedTrialMemory memory(trial);
      std::vector<std::byte*> bases;
      const PagedMove move = memory.move(bases);
      ASSERT_TRUE(check_paged_move(move));
      const std::vector<std::byte> pages = scatter ? memory.expected(true) : memory.pages;
      const std::vector<std::byte> staging = scatter ? memory.staging : memory.expected(false);
      scatter ? scatter_paged_twin(move) : gather_paged_twin(move);
      EXPECT_TRUE(memory.pages == pages) << (scatter ? "scatter" : "gather");
      EXPECT_TRUE(memory.staging == staging) << (scatter ? "scatter" : "gather");
    }
  }
}

TEST(PagedMove, WhatWasScatteredIsGathered) {
  PagedTrialMemory memory({.name = "there and back", .order = PageOrder::kBlockPairHeadToken});
  std::vector<std::byte*> bases;
  const PagedMove move = memory.move(bases);
  const std::vector<std::byte> before = memory.staging;
  scatter_paged_twin(move);
  for (const StagedPart& part : memory.parts)
    std::fill_n(memory.staging.begin() + part.offset_bytes, part.plane_count * move.plane_bytes(),
                std::byte{});
  ASSERT_FALSE(memory.staging == before);
  gather_paged_twin(move);
  EXPECT_TRUE(memory.staging == before);
}

TEST(PagedMove, LayerBytesEndAtTheLastElement) {
  PagedLayout layout = paged_layout({.name = "", .order = PageOrder::kPairBlockTokenHead}, 5);
  EXPECT_EQ(layout.layer_bytes(), 2u * 5 * 16 * 2 * 16 * 2);
  layout = paged_layout({.name = "", .order = PageOrder::kBlockPairHeadToken, .element_bytes = 1}, 5);
  EXPECT_EQ(layout.layer_bytes(), 2u * 5 * 16 * 2 * 16);
}

class BadMove : public testing::Test {
 protected:
  PagedTrialMemory memory_{PagedTrial{}};
  std::vector<std::byte*> bases_;
  PagedMove move_ = memory_.move(bases_);
  ~BadMove() override {
    const auto checked = check_paged_move(move_);
    EXPECT_FALSE(checked) << "nothing was wrong";
    if (!checked) {
      EXPECT_EQ(checked.error(), Error::kConfig);
    }
  }
};

TEST_F(BadMove, NoLayers) { move_.layout.layers = 0; }
TEST_F(BadMove, ThreePlanes) { move_.layout.planes_per_layer = 3; }
TEST_F(BadMove, FourByteElements) { move_.layout.element_bytes = 4; }
TEST_F(BadMove, HeadsOverlap) { move_.layout.head_stride = 1; }
TEST_F(BadMove, StrideOverflows) { move_.layout.block_stride = UINT64_MAX / 2; }
TEST_F(BadMove, LayerWithoutMemory) { bases_[1] = nullptr; }
TEST_F(BadMove, PartBehindStaging) { memory_.parts[2].offset_bytes = move_.staging_bytes - 1; }
TEST_F(BadMove, PartOffsetOverflows) { memory_.parts[2].offset_bytes = UINT64_MAX - 1; }
TEST_F(BadMove, PartOfUnknownPlanes) { memory_.parts[0].plane_first = move_.layout.planes(); }
TEST_F(BadMove, PartWithTooManyPlanes) { move_.part_planes_max = 1; }
TEST_F(BadMove, TokensBehindTheTable) { move_.block_table_size -= 1; }
TEST_F(BadMove, RangeIsBackwards) { move_.token_begin = 9, move_.token_end = 8; }
TEST_F(BadMove, BlockDoesNotExist) { memory_.block_table[3] = static_cast<int32_t>(move_.layout.blocks); }
TEST_F(BadMove, BlockIsNegative) { memory_.block_table[3] = -1; }

TEST(PagedMove, BlocksOutsideTheRangeMayBeAnything) {
  PagedTrialMemory memory({.name = "", .token_begin = 16, .token_end = 170});
  memory.block_table.front() = -1;
  memory.block_table.back() = 1 << 30;
  std::vector<std::byte*> bases;
  EXPECT_TRUE(check_paged_move(memory.move(bases)));
}

TEST(Gpu, WithoutOneEverythingSaysSo) {
  if (gpu_count() > 0) GTEST_SKIP() << "this machine has a GPU";
  std::vector<std::byte> slots(4096);
  EXPECT_FALSE(DeviceMemory::allocate(0, 4096));
  EXPECT_FALSE(DeviceMemory::open({.bytes = 4096}));
  EXPECT_FALSE(DeviceMemory().handle());
  EXPECT_FALSE(RegisteredMemory::create(slots));
}

}  // namespace
}  // namespace shadowserve
