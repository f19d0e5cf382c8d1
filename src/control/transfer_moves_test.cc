// Moves that take their time, as a GPU's do: nothing ends, and no region is used again, before they have.
#include <deque>

#include "control/host_page_mover.h"
#include "control/transfer_fixture.h"

namespace shadowserve {
namespace {

/// Moves with this core, but only when it is told to, and fails when it is told to.
class SlowMover final : public PageMover {
 public:
  SlowMover(HostPageMover inner, size_t& under_way) : inner_(std::move(inner)), under_way_(under_way) {}
  void start(const PartMove& move, std::span<std::byte> staging) override {
    waiting.push_back({move, staging});
    ++under_way_;
  }
  void flush() override { flushed = waiting.size(); }
  size_t poll(std::span<PagedDone> out) override {
    if (held || flushed == 0) return 0;
    const auto [move, staging] = waiting.front();
    waiting.pop_front();
    --flushed;
    --under_way_;
    out[0] = {move.ticket, fails};
    if (fails != Error::kNone) return 1;
    inner_.start(move, staging);
    return inner_.poll(out);
  }
  uint32_t moves_together() const override { return together; }
  uint32_t gathers_per_turn() const override { return 4; }

  struct Waiting {
    PartMove move;
    std::span<std::byte> staging;
  };
  bool held = false;
  uint32_t together = 1;
  size_t flushed = 0;  // of those waiting, the first ones
  Error fails = Error::kNone;
  std::deque<Waiting> waiting;

 private:
  HostPageMover inner_;
  size_t& under_way_;
};

class SlowMovesTest : public TransferTest {
 protected:
  void SetUp() override {
    options = checked(many_part_options(), plane.path(), ClientRole::kTransfer);
    per_chunk = options.geometry().chunk_tokens / 32;
    pages = std::make_unique<TestPages>(options.geometry(), 64 * per_chunk);
    transfer = std::make_unique<Transfer>(options, clock, Transfer::Thread::kStepped);
    auto made = std::make_unique<SlowMover>(HostPageMover(page_map()), under_way);
    mover = made.get();
    transfer->use_pages({options.geometry(), 32, pages->described.pages}, std::move(made));
    pump();
    ASSERT_TRUE(transfer->worker().link().up());
  }
  PageMap page_map() const {
    PageMap map;
    map.geometry = options.geometry();
    map.shape = {PageLayout::kVec, 32, map.geometry.kv_heads, map.geometry.head_dim,
                 pages->described.head_stride_bytes};
    map.pages = pages->described.pages;
    map.page_stride_bytes = pages->described.page_stride_bytes;
    for (uint32_t layer = 0; layer < map.geometry.layers; ++layer)
      map.layer_base.push_back(static_cast<std::byte*>(pages->described.layer_base[layer]));
    return map;
  }
  // Saves two chunks, and asks for them elsewhere with the mover held: parts are stuck on their way to the
  // pages.
  void fetch_and_hold() {
    store_chunks(keys);
    mover->held = true;
    ASSERT_TRUE(fetch(2, keys, table(32, 2)));
    pump();
    ASSERT_GT(under_way, 0u);
    ASSERT_TRUE(events().empty());
  }
  void let_go() {
    mover->held = false;
    pump();
  }

  const std::vector<ChunkKey> keys = test_keys(2);
  size_t under_way = 0;
  SlowMover* mover = nullptr;
};

TEST_F(SlowMovesTest, AFetchEndsWhenItsPartsHaveArrived) {
  fetch_and_hold();
  let_go();
  const ss_event event = only_event();
  EXPECT_EQ(event.error, 0);
  EXPECT_EQ(event.chunks_placed, 2u);
  for (int32_t page = 0; page < 4; ++page) {
    EXPECT_TRUE(pages->same_token(*pages, page, 32 + page, 5));
  }
  expect_clean();
}

TEST_F(SlowMovesTest, ALateFetchEndsOnlyWhenNothingWritesToItsPagesAnyMore) {
  fetch_and_hold();
  advance_ms(5'100);
  EXPECT_TRUE(events().empty()) << "its pages are still being written";
  let_go();
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kDeadline));
  EXPECT_EQ(under_way, 0u);
  pump();
  expect_clean();
}

TEST_F(SlowMovesTest, ACancelledFetchEndsOnlyWhenNothingWritesToItsPagesAnyMore) {
  fetch_and_hold();
  transfer->cancel(2);
  pump();
  EXPECT_TRUE(events().empty());
  let_go();
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kCancelled));
  pump();
  expect_clean();
}

TEST_F(SlowMovesTest, AfterALostLinkNoRegionIsUsedBeforeOldMovesHaveEnded) {
  fetch_and_hold();
  const size_t stuck = under_way;
  plane.die();
  advance_ms(2);
  EXPECT_TRUE(events().empty());
  plane.come_back();
  advance_ms(1'000);
  ASSERT_TRUE(transfer->worker().link().up());
  ASSERT_TRUE(fetch(3, keys, table(64, 2)));
  pump();
  EXPECT_EQ(under_way, stuck) << "the new fetch waits";
  let_go();
  const auto ended = events();
  ASSERT_EQ(ended.size(), 2u);
  EXPECT_EQ(ended[0].error, static_cast<ss_error>(Error::kPlaneDown));
  EXPECT_EQ(ended[1].id, 3u);
  EXPECT_EQ(ended[1].error, 0);
  expect_clean();
}

TEST_F(SlowMovesTest, APartThatCannotBePlacedFailsItsChunkAndThoseBehind) {
  fetch_and_hold();
  mover->fails = Error::kSystem;
  let_go();
  const ss_event event = only_event();
  EXPECT_EQ(event.error, static_cast<ss_error>(Error::kSystem));
  EXPECT_EQ(event.chunks_placed, 0u);
  pump();
  expect_clean();
}

TEST_F(SlowMovesTest, ASaveWithdrawnWhileItsPagesAreReadStoresNothing) {
  mover->held = true;
  ASSERT_TRUE(save(1, keys, table(0, 2)));
  pump();
  EXPECT_EQ(under_way, 3u) << "as many as there are regions for saves, not one at a time";
  transfer->cancel(1);
  pump();
  EXPECT_TRUE(events().empty()) << "regions are still being written";
  let_go();
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kCancelled));
  EXPECT_TRUE(plane.store.empty());
  expect_clean();
}

TEST_F(SlowMovesTest, WhatCannotBeReadIsNotStored) {
  mover->fails = Error::kSystem;
  ASSERT_TRUE(save(1, keys, table(0, 2)));
  pump();
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kSystem));
  EXPECT_TRUE(plane.store.empty());
  expect_clean();
}

// Parts that may go together: the plane's answers come one at a time.
class MovesTogetherTest : public SlowMovesTest {
 protected:
  void SetUp() override {
    SlowMovesTest::SetUp();
    store_chunks(keys);
    mover->together = 1000;
    plane.hold = true;
    begin();
    ASSERT_GT(plane.held.size(), 2u);
  }
  virtual void begin() {
    ASSERT_TRUE(fetch(2, keys, table(32, 2)));
    pump();
  }
  void answer_one() {
    const FakePlane::Held request = plane.held.front();
    plane.held.erase(plane.held.begin());
    plane.answer(*request.session, request);
    pump();
  }
};

TEST_F(MovesTogetherTest, PartsAreHeldUntilHalfOfTheRegionsHaveSome) {
  const uint32_t half = transfer->worker().staging().fetch_regions() / 2;
  ASSERT_GT(half, 1u);
  for (uint32_t answered = 1; answered < half; ++answered) {
    answer_one();
    EXPECT_EQ(under_way, answered);
    EXPECT_EQ(mover->flushed, 0u);
  }
  answer_one();
  EXPECT_EQ(under_way, 0u) << "all went, and have ended";
}

TEST_F(MovesTogetherTest, NothingIsHeldForLong) {
  answer_one();
  advance_ms(19);
  EXPECT_EQ(under_way, 1u);
  EXPECT_LE(transfer->worker().wake_at_ns(), clock.now_ns() + kNsPerMs) << "it wakes by itself";
  advance_ms(1);
  EXPECT_EQ(under_way, 0u);
}

TEST_F(MovesTogetherTest, TheLastPartOfAFetchWaitsForNoOther) {
  while (!plane.held.empty()) answer_one();
  EXPECT_EQ(only_event().error, 0) << "although no time has passed";
  expect_clean();
}

TEST_F(MovesTogetherTest, ACancelledFetchHoldsNothing) {
  answer_one();
  ASSERT_EQ(under_way, 1u);
  transfer->cancel(2);
  pump();
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kCancelled));
  EXPECT_EQ(under_way, 0u);
}

TEST_F(MovesTogetherTest, WhatIsHeldWhenTheLinkIsLostEnds) {
  answer_one();
  ASSERT_EQ(under_way, 1u);
  mover->fails = Error::kSystem;  // the memory it would read is gone with the link; a GPU's stays
  plane.die();
  advance_ms(2);
  EXPECT_EQ(under_way, 0u);
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kPlaneDown));
}

TEST_F(MovesTogetherTest, PagesThatAreReadWaitForNoOthers) {
  ASSERT_TRUE(save(3, test_keys(4), table(0, 4)));
  pump();
  EXPECT_EQ(under_way, 0u) << "the engine waits for its pages";
}

TEST_F(MovesTogetherTest, AMoverOfSingleMovesGetsEachAtOnce) {  // the negative control
  mover->together = 1;
  answer_one();
  EXPECT_EQ(under_way, 0u);
}

// Two fetches of a chunk, which together need more regions than there are.
class TwoFetchesTest : public MovesTogetherTest {
 protected:
  void begin() override {
    for (const uint64_t id : {2, 3}) {
      ASSERT_TRUE(fetch(id, {keys[0]}, table(16 * static_cast<int32_t>(id), 1)));
      pump();
    }
  }
};

TEST_F(TwoFetchesTest, OneThatIsUnderWayDoesNotSendThePartsOfTheOtherOneByOne) {
  mover->held = true;  // as behind a long step of the engine
  const size_t first = options.geometry().parts();
  while (mover->flushed < first) answer_one();
  ASSERT_EQ(under_way, first) << "all of the first is handed over, and nothing of the second has come";
  ASSERT_GT(plane.held.size(), 2u);
  answer_one();
  answer_one();
  EXPECT_EQ(under_way, first + 2);
  EXPECT_EQ(mover->flushed, first) << "the second's parts wait for each other";
  while (!plane.held.empty()) answer_one();
  EXPECT_EQ(mover->flushed, under_way) << "those it has regions for: nothing else will come";
  let_go();
  while (!plane.held.empty()) answer_one();
  EXPECT_EQ(events().size(), 2u);
  expect_clean();
}

}  // namespace
}  // namespace shadowserve
