// The mover's bytes against the twins', parts that are wrong, and more parts than it has room for.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "gpu/mover_on_gpu.h"
#include "memory/frozen_heap.h"

namespace shadowserve {
namespace {

INSTANTIATE_TEST_SUITE_P(Ways, MoverOnGpu, kPagedWays, name_of_way);

TEST_P(MoverOnGpu, ScattersAndGathersBack) {
  for (const PagedTrial& trial : paged_trials()) {
    if (trial.chunk_tokens % trial.block_tokens != 0 || trial.token_begin > 0 ||
        trial.token_end != UINT32_MAX || trial.one_part || !fits(trial))
      continue;
    SCOPED_TRACE(trial.name);
    take(trial);
    add_all(PagedDirection::kScatter);
    expect_all_well(part_count());
    EXPECT_TRUE(from_device(pages_) == host_->expected(true));
    EXPECT_TRUE(staging_.read() == host_->staging);

    std::vector<std::byte> emptied = host_->staging;
    for (size_t i = 0; i < part_count(); ++i)
      std::fill_n(emptied.begin() + static_cast<ptrdiff_t>(host_->parts[i].offset_bytes),
                  host_->parts[i].plane_count * host_->move(bases_).plane_bytes(), std::byte{});
    ASSERT_FALSE(emptied == host_->staging);
    staging_.write(emptied);
    add_all(PagedDirection::kGather);
    expect_all_well(part_count());
    EXPECT_TRUE(staging_.read() == host_->staging);
    if (HasFailure()) return;
  }
}

// Two chunks whose first rows are the engine's, beside a whole one; parts lie in no order.
TEST_P(MoverOnGpu, RestsOfChunksBesideWholeOnes) {
  const uint32_t token_first[] = {5, 37, 0};
  for (size_t i = 0; i < part_count(); ++i) {
    PagedPart rest = part(i);
    rest.token_first = token_first[chunk_of(i)];
    ASSERT_TRUE(add(rest));
  }
  mover_->flush();
  expect_all_well(part_count());
  for (uint32_t chunk = 0; chunk < 3; ++chunk) {
    PagedMove move = host_->move(bases_);
    move.token_begin = chunk * chunk_tokens_ + token_first[chunk];
    move.token_end = (chunk + 1) * chunk_tokens_;
    ASSERT_TRUE(check_paged_move(move));
    scatter_paged_twin(move);
  }
  EXPECT_TRUE(from_device(pages_) == host_->pages);
}

TEST_P(MoverOnGpu, WrongPartsFailAlone) {
  const auto wrong = [this](size_t index, int32_t id) {
    static std::vector<int32_t> ids;
    const PagedPart right = part(index);
    ids.assign(right.block_ids.begin(), right.block_ids.end());
    ids[2] = id;
    PagedPart out = right;
    out.ticket = 100 + index;
    out.block_ids = ids;
    return out;
  };
  const auto beyond = static_cast<int32_t>(host_->move(bases_).layout.blocks);
  for (size_t i = 0; i < part_count(); ++i) {
    ASSERT_TRUE(add(wrong(i, i % 2 == 0 ? beyond : -1)));
    ASSERT_TRUE(add(part(i)));
  }
  PagedPart outside = part(0);
  outside.ticket = 200;
  outside.staging_offset = staging_.span().size() - 16;
  ASSERT_TRUE(add(outside));
  mover_->flush();
  size_t refused = 0;
  const std::vector<PagedDone> all = wait_for(2 * part_count() + 1);
  EXPECT_EQ(all.size(), 2 * part_count() + 1);
  for (const PagedDone& done : all) {
    EXPECT_EQ(done.error, done.ticket < 100 ? Error::kNone : Error::kConfig) << done.ticket;
    refused += done.error == Error::kConfig;
  }
  EXPECT_EQ(refused, part_count() + 1);
  EXPECT_TRUE(from_device(pages_) == host_->expected(true));
}

// Memory that goes when the last copy of it has ended, and not before.
TEST_P(MoverOnGpu, HoldsTheStagingMemoryUntilItIsDone) {
  auto held = std::make_shared<int>(0);
  HeldStream engine;
  engine.hold();
  ASSERT_TRUE(mover_->add(part(0), staging_.span(), engine.fence(), held));
  mover_->flush();
  expect_nothing_for(std::chrono::milliseconds(20));
  EXPECT_EQ(held.use_count(), 2);
  engine.release();
  expect_all_well(1);
  EXPECT_EQ(held.use_count(), 1);
}

TEST_P(MoverOnGpu, RefusedPartsAreBounded) {
  PagedPart wrong = part(0);
  wrong.plane_count = 0;
  for (int round = 0; round < 2; ++round) {
    uint32_t taken = 0;
    while (taken < 10000 && add(wrong)) ++taken;
    EXPECT_EQ(taken, PagedMover::kBatchParts);
    EXPECT_EQ(wait_for(taken).size(), taken);
  }
}

TEST_P(MoverOnGpu, MoreThanOneLaunchTakes) {
  constexpr size_t kParts = 3 * PagedMover::kBatchParts + 5;
  for (size_t i = 0; i < kParts; ++i) {
    PagedPart again = part(i % part_count());
    again.ticket = i;
    ASSERT_TRUE(add(again));
  }
  EXPECT_EQ(mover_->under_way(), kParts);
  mover_->flush();
  expect_all_well(kParts);
  EXPECT_TRUE(from_device(pages_) == host_->expected(true));
}

TEST_P(MoverOnGpu, BatchesRunOutAndComeBack) {
  HeldStream engine;
  engine.hold();
  for (uint32_t i = 0; i < PagedMover::kBatchesMax; ++i) {
    PagedPart one = part(i % part_count(), i % 2 == 0 ? PagedDirection::kScatter : PagedDirection::kGather);
    one.ticket = i;
    ASSERT_TRUE(add(one, engine.fence()));
    mover_->flush();
  }
  EXPECT_FALSE(add(part(0)));
  EXPECT_FALSE(add(part(0, PagedDirection::kGather)));
  EXPECT_EQ(mover_->under_way(), PagedMover::kBatchesMax);
  expect_nothing_for(std::chrono::milliseconds(20));
  engine.release();
  expect_all_well(PagedMover::kBatchesMax);
  EXPECT_TRUE(add(part(0)));
  mover_->flush();
  expect_all_well(1);
}

TEST_P(MoverOnGpu, TakesNothingFromTheHeap) {
  const auto round = [this](bool scatter) {
    const auto direction = scatter ? PagedDirection::kScatter : PagedDirection::kGather;
    size_t done = 0;
    PagedDone some[PagedMover::kBatchParts];
    for (size_t i = 0; i < part_count(); ++i) add(part(i, direction));
    mover_->flush();
    while (done < part_count()) done += mover_->poll(some);
  };
  // The driver may make itself comfortable first.
  for (uint32_t i = 0; i < 2 * PagedMover::kBatchesMax; ++i) round(i % 2 == 0);
  const uint64_t before = frozen_allocations();
  freeze_heap_on_this_thread();
  for (uint32_t i = 0; i < 200; ++i) round(i % 2 == 0);
  thaw_heap_on_this_thread();
  std::printf("%llu allocations (the driver's) in 200 launches\n",
              static_cast<unsigned long long>(frozen_allocations() - before));
#if !defined(SHADOWSERVE_SANITIZED)
  EXPECT_TRUE(heap_is_watched());
  EXPECT_EQ(frozen_allocations() - before, 0u);
#endif
}

}  // namespace
}  // namespace shadowserve
