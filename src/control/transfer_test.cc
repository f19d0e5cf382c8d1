// Transfers step by step on one thread and a virtual clock: every way a job can go and end.
#include "control/transfer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "control/fake_plane.h"
#include "control/test_engine.h"

namespace shadowserve {
namespace {

class TransferTest : public testing::Test {
 protected:
  void open(ss_options given = one_part_options(), PageLayout layout = PageLayout::kVec) {
    options = checked(given, plane.path(), ClientRole::kTransfer);
    per_chunk = options.geometry().chunk_tokens / 32;
    pages = std::make_unique<TestPages>(options.geometry(), 64 * per_chunk, layout);
    transfer = std::make_unique<Transfer>(options, clock, Transfer::Thread::kStepped);
    std::string message;
    ASSERT_TRUE(transfer->register_pages(pages->described, message)) << message;
    pump();
    ASSERT_TRUE(transfer->worker().link().up());
  }
  // Lets both sides do all they can without time passing.
  void pump() {
    for (int idle = 0; idle < 3;) {
      const bool engine = transfer->worker().step();
      const bool other = plane.step();
      idle = engine || other ? 0 : idle + 1;
    }
  }
  void advance_ms(uint64_t ms) {
    clock.advance_ns(ms * kNsPerMs);
    pump();
  }
  std::vector<int32_t> table(int32_t first_page, uint32_t chunks) const {
    std::vector<int32_t> ids(chunks * per_chunk);
    std::iota(ids.begin(), ids.end(), first_page);
    return ids;
  }
  Result<void> save(uint64_t id, const std::vector<ChunkKey>& keys, const std::vector<int32_t>& ids) {
    return transfer->save({id, raw(keys), 0, static_cast<uint32_t>(keys.size()), 0, ids});
  }
  Result<void> fetch(uint64_t id, const std::vector<ChunkKey>& keys, const std::vector<int32_t>& ids,
                     uint32_t first_token = 0) {
    return transfer->fetch({id, raw(keys), 0, static_cast<uint32_t>(keys.size()), first_token, ids});
  }
  std::vector<ss_event> events() {
    std::vector<ss_event> out(128);
    out.resize(transfer->poll(out));
    return out;
  }
  ss_event only_event() {
    const auto all = events();
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? ss_event{} : all[0];
  }
  void store_chunks(const std::vector<ChunkKey>& keys, int32_t first_page = 0) {
    pages->fill_random(3);
    ASSERT_TRUE(save(1, keys, table(first_page, static_cast<uint32_t>(keys.size()))));
    pump();
    ASSERT_EQ(only_event().error, 0);
  }
  ss_transfer_stats stats() {
    ss_transfer_stats out;
    transfer->read_stats(out);
    return out;
  }
  // Nothing leaked: every job is gone, every region free.
  void expect_clean() {
    EXPECT_TRUE(transfer->worker().idle());
    EXPECT_EQ(transfer->worker().staging().free(), transfer->worker().staging().size());
    const ss_transfer_stats now = stats();
    const auto sum = [](const uint64_t(&counts)[SS_ERROR_COUNT]) {
      return std::accumulate(std::begin(counts), std::end(counts), uint64_t{0});
    };
    EXPECT_EQ(now.fetch_asked, now.fetch_placed + sum(now.fetch_failed));
    EXPECT_EQ(now.save_asked, now.save_stored + sum(now.save_failed));
  }

  VirtualClock clock;
  FakePlane plane{"transfer"};
  ClientOptions options;
  uint32_t per_chunk = 0;
  std::unique_ptr<TestPages> pages;
  std::unique_ptr<Transfer> transfer;
};

TEST_F(TransferTest, WhatWasSavedIsFetchedIntoOtherPages) {
  for (PageLayout layout : {PageLayout::kVec, PageLayout::kAmx, PageLayout::kPlain}) {
    open(one_part_options(), layout);
    const auto keys = test_keys(3);
    store_chunks(keys);
    const TestPages before = *pages;
    ASSERT_TRUE(fetch(2, keys, table(20, 3)));
    EXPECT_TRUE(events().empty()) << "nothing happens on the engine's thread";
    pump();
    const ss_event event = only_event();
    EXPECT_EQ(event.kind, static_cast<uint32_t>(SS_FETCHED));
    EXPECT_EQ(event.id, 2u);
    EXPECT_EQ(event.chunks_placed, 3u);
    for (uint32_t page = 0; page < 3 * per_chunk; ++page) {
      for (uint32_t token : {0u, 17u, 31u}) {
        EXPECT_TRUE(
            pages->same_token(before, static_cast<int32_t>(20 + page), static_cast<int32_t>(page), token));
      }
    }
    // Negative control: the target pages held something else before.
    EXPECT_FALSE(pages->same_token(before, 20, 20, 0));
    expect_clean();
  }
}

TEST_F(TransferTest, OnlyTokensFromTheFirstOneOnAreTouched) {
  open();
  const auto keys = test_keys(2);
  store_chunks(keys);
  const TestPages before = *pages;
  auto ids = table(20, 2);
  ids[0] = -1;  // the engine's own prefix: not ours to look at
  const uint32_t first_token = 32 + 7;
  ASSERT_TRUE(fetch(2, keys, ids, first_token));
  pump();
  EXPECT_EQ(only_event().chunks_placed, 2u);
  for (uint32_t token = 0; token < 128; ++token) {
    const auto page = static_cast<int32_t>(token / 32);
    EXPECT_EQ(pages->same_token(before, 20 + page, 20 + page, token % 32), token < first_token) << token;
    EXPECT_EQ(pages->same_token(before, 20 + page, page, token % 32), token >= first_token) << token;
  }
  // A fetch whose tokens all lie before the first one has nothing to do.
  ASSERT_TRUE(fetch(3, keys, ids, 128));
  pump();
  EXPECT_EQ(only_event().chunks_placed, 2u);
  expect_clean();
}

TEST_F(TransferTest, PartZeroIsSavedLast) {
  open(many_part_options());
  ASSERT_EQ(options.geometry().parts(), 8u);
  const auto keys = test_keys(2);
  plane.hold = true;
  ASSERT_TRUE(save(1, keys, table(0, 2)));
  for (int round = 0; round < 100; ++round) {
    pump();
    for (const LinkRequest& request : plane.held) {
      if (request.part != 0) continue;
      for (uint32_t part = 1; part < 8; ++part) EXPECT_TRUE(plane.store.count({request.key, part}));
    }
    plane.release_held();
  }
  pump();
  EXPECT_EQ(only_event().error, 0);
  EXPECT_EQ(plane.store.size(), 16u);
  EXPECT_EQ(stats().save_stored, 2u);
  EXPECT_EQ(plane.saved_order.front().second, 7u);
  expect_clean();
}

TEST_F(TransferTest, AChunkWhosePartFailedNeverGetsItsPartZero) {
  open(many_part_options());
  plane.distort = [](LinkReply& reply, const LinkRequest& request) {
    if (request.op == LinkOp::kSave && request.part == 3)
      reply.error = static_cast<uint8_t>(Error::kStoreDown);
  };
  const auto keys = test_keys(2);
  ASSERT_TRUE(save(1, keys, table(0, 2)));
  pump();
  EXPECT_EQ(only_event().kind, static_cast<uint32_t>(SS_GATHERED));
  for (const auto& [key, part] : plane.saved_order) EXPECT_NE(part, 0u);
  EXPECT_EQ(stats().save_failed[static_cast<int>(Error::kStoreDown)], 2u);
  expect_clean();
}

TEST_F(TransferTest, AMissEndsThePrefix) {
  open(many_part_options());
  const auto keys = test_keys(4);
  store_chunks(keys);
  plane.store.erase({keys[2], 5});
  const uint64_t asked_before = plane.asked;
  ASSERT_TRUE(fetch(2, keys, table(static_cast<int32_t>(8 * per_chunk), 4)));
  pump();
  const ss_event event = only_event();
  EXPECT_EQ(event.chunks_placed, 2u);
  EXPECT_EQ(event.error, static_cast<ss_error>(Error::kMiss));
  EXPECT_LE(plane.asked - asked_before, 4 * 8u);
  expect_clean();
}

TEST_F(TransferTest, ManyJobsShareFewRegionsAndAShortRing) {
  plane.ring_entries = 4;
  open(many_part_options());
  const auto keys = test_keys(8);
  store_chunks(keys);
  const TestPages before = *pages;
  for (uint64_t id = 10; id < 15; ++id) {
    ASSERT_TRUE(fetch(id, keys, table(static_cast<int32_t>((id - 8) * 8 * per_chunk), 8)));
  }
  pump();
  const auto all = events();
  ASSERT_EQ(all.size(), 5u);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].id, 10 + i) << "first come, first served";
    EXPECT_EQ(all[i].chunks_placed, 8u);
  }
  EXPECT_TRUE(pages->same_token(before, static_cast<int32_t>(6 * 8 * per_chunk), 0, 5));
  EXPECT_LE(plane.held_most, 4u);
  expect_clean();
}

TEST_F(TransferTest, SavesThatDoNotMoveLeaveFetchesTheirShare) {
  open(many_part_options());
  const auto keys = test_keys(4), other = test_keys(4, 1);
  store_chunks(keys);
  plane.hold = true;
  ASSERT_TRUE(save(2, other, table(0, 4)));
  pump();
  EXPECT_GT(plane.held.size(), 0u);
  const size_t stuck_saves = plane.held.size();
  ASSERT_TRUE(fetch(3, keys, table(static_cast<int32_t>(8 * per_chunk), 4)));
  pump();
  EXPECT_GT(plane.held.size(), stuck_saves);
  for (int round = 0; round < 50; ++round) {
    plane.release_held();
    pump();
  }
  EXPECT_EQ(events().size(), 2u);
  expect_clean();
}

TEST_F(TransferTest, ASilentPlaneCannotHoldAFetchBeyondItsDeadline) {
  open();
  const auto keys = test_keys(2);
  store_chunks(keys);
  plane.hold = true;
  ASSERT_TRUE(fetch(2, keys, table(20, 2)));
  pump();
  const TestPages before = *pages;
  advance_ms(options.fetch_timeout_ns / kNsPerMs);
  EXPECT_TRUE(events().empty()) << "the plane has a moment to say so itself";
  clock.advance_ns(TransferWorker::kGraceNs);
  pump();
  const ss_event event = only_event();
  EXPECT_EQ(event.error, static_cast<ss_error>(Error::kDeadline));
  EXPECT_EQ(event.chunks_placed, 0u);
  const StagingTable& staging = transfer->worker().staging();
  EXPECT_EQ(staging.with_plane(), 2u) << "quarantined until answered";
  EXPECT_EQ(staging.free(), staging.size() - 2);
  // Late answers end the quarantine and touch nothing.
  plane.release_held();
  pump();
  EXPECT_EQ(staging.free(), staging.size());
  EXPECT_EQ(pages->bytes, before.bytes);
  EXPECT_TRUE(events().empty());
  EXPECT_TRUE(transfer->worker().link().up());
  expect_clean();
}

TEST_F(TransferTest, APlaneSilentForLongIsReplacedWithFreshMemory) {
  open();
  const auto keys = test_keys(1);
  store_chunks(keys);
  plane.hold = true;
  ASSERT_TRUE(fetch(2, keys, table(20, 1)));
  pump();
  const auto stuck = plane.held;
  advance_ms(options.fetch_timeout_ns / kNsPerMs + 25);
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kDeadline));
  EXPECT_TRUE(transfer->worker().link().up());
  advance_ms(1'100);
  EXPECT_FALSE(transfer->worker().link().up());
  plane.hold = false;
  advance_ms(1'000);
  ASSERT_TRUE(transfer->worker().link().up());
  EXPECT_EQ(stats().connects, 2u);
  EXPECT_EQ(stats().disconnects, 1u);
  ASSERT_EQ(plane.sessions.size(), 2u);
  // The stuck session wakes up in the middle of a new fetch: it writes to its old memory only.
  plane.hold = true;
  ASSERT_TRUE(fetch(3, keys, table(24, 1)));
  pump();
  plane.release_held();
  std::memset(plane.sessions[0]->staging.data(), 0xee, plane.sessions[0]->staging.size());
  plane.answer(*plane.sessions[0], stuck[0]);
  pump();
  EXPECT_EQ(only_event().chunks_placed, 1u);
  EXPECT_TRUE(pages->same_token(*pages, 24, 0, 3));
  expect_clean();
}

TEST_F(TransferTest, ADeadPlaneEndsWhatIsInFlightAndIsFoundAgain) {
  open();
  const auto keys = test_keys(2);
  store_chunks(keys);
  plane.hold = true;
  ASSERT_TRUE(fetch(2, keys, table(20, 2)));
  ASSERT_TRUE(save(3, test_keys(2, 1), table(0, 2)));
  pump();
  plane.die();
  advance_ms(2);
  auto all = events();
  ASSERT_EQ(all.size(), 2u);
  for (const ss_event& event : all) {
    // The save was read already: for the engine it went well.
    EXPECT_EQ(event.error,
              static_cast<ss_error>(event.kind == SS_FETCHED ? Error::kPlaneDown : Error::kNone));
  }
  EXPECT_EQ(stats().connected, 0u);
  // Asked while nobody is there: soon answered.
  ASSERT_TRUE(fetch(4, keys, table(20, 2)));
  pump();
  EXPECT_TRUE(events().empty());
  advance_ms(500);
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kPlaneDown));
  ASSERT_TRUE(fetch(5, keys, table(20, 2)));
  pump();
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kPlaneDown)) << "at once when it is known";
  plane.hold = false;
  plane.come_back();
  advance_ms(1'000);
  EXPECT_EQ(stats().connected, 1u);
  ASSERT_TRUE(fetch(6, keys, table(20, 2)));
  pump();
  EXPECT_EQ(only_event().chunks_placed, 2u);
  expect_clean();
}

TEST_F(TransferTest, CancelledFetchIsNotWrittenAnyMore) {
  open();
  const auto keys = test_keys(2);
  store_chunks(keys);
  plane.hold = true;
  ASSERT_TRUE(fetch(2, keys, table(20, 2)));
  pump();
  transfer->cancel(2);
  transfer->cancel(77);  // nobody
  const TestPages before = *pages;
  plane.release_held();
  pump();
  const ss_event event = only_event();
  EXPECT_EQ(event.error, static_cast<ss_error>(Error::kCancelled));
  EXPECT_EQ(pages->bytes, before.bytes);
  // Withdrawn before the link thread ever saw it.
  ASSERT_TRUE(fetch(3, keys, table(20, 2)));
  transfer->cancel(3);
  pump();
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kCancelled));
  EXPECT_EQ(pages->bytes, before.bytes);
  expect_clean();
}

TEST_F(TransferTest, CancelledSaveStoresNoWholeChunkThatWasNotRead) {
  open(many_part_options());
  plane.hold = true;
  ASSERT_TRUE(save(1, test_keys(4), table(0, 4)));
  pump();
  EXPECT_TRUE(events().empty()) << "not all of it fits the save share";
  transfer->cancel(1);
  pages->fill_random(99);
  pump();
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kCancelled));
  plane.release_held();
  pump();
  for (const auto& [key, part] : plane.saved_order) EXPECT_NE(part, 0u);
  expect_clean();
}

TEST_F(TransferTest, ASaveThatCannotBeGatheredInTimeIsDropped) {
  open(many_part_options());
  plane.hold = true;
  ASSERT_TRUE(save(1, test_keys(4), table(0, 4)));
  pump();
  advance_ms(options.save_timeout_ns / kNsPerMs + 20);
  const ss_event event = only_event();
  EXPECT_EQ(event.kind, static_cast<uint32_t>(SS_GATHERED));
  EXPECT_EQ(event.error, static_cast<ss_error>(Error::kDeadline));
  plane.release_held();
  pump();
  expect_clean();
}

TEST_F(TransferTest, StrangeAnswersAreIgnoredUntilTheyAreTooMany) {
  open();
  const auto keys = test_keys(1);
  store_chunks(keys);
  plane.hold = true;
  ASSERT_TRUE(fetch(2, keys, table(20, 1)));
  pump();
  const TestPages before = *pages;
  LinkReply reply;
  reply.op = LinkOp::kFetch;
  reply.value_bytes = static_cast<uint32_t>(part_shape(options.geometry(), 0).value_bytes());
  for (uint64_t ticket : {uint64_t{0}, uint64_t{12345}, UINT64_MAX, plane.held[0].ticket + (1 << 16)}) {
    reply.ticket = ticket;
    plane.sessions.back()->answer(reply);
  }
  reply.ticket = plane.held[0].ticket;
  reply.op = LinkOp::kSave;  // the right ticket of the wrong operation
  plane.sessions.back()->answer(reply);
  pump();
  EXPECT_EQ(pages->bytes, before.bytes);
  EXPECT_TRUE(events().empty());
  plane.release_held();
  pump();
  EXPECT_EQ(only_event().chunks_placed, 1u);
  for (int i = 0; i < 1'000; ++i) {
    plane.sessions.back()->answer(reply);
    if (i % 100 == 0) pump();
  }
  pump();
  EXPECT_FALSE(transfer->worker().link().up());
  expect_clean();
}

TEST_F(TransferTest, AnAnswerOfAnotherSizeIsNotPlaced) {
  open();
  const auto keys = test_keys(1);
  store_chunks(keys);
  plane.distort = [](LinkReply& reply, const LinkRequest&) { reply.value_bytes -= 2; };
  const TestPages before = *pages;
  ASSERT_TRUE(fetch(2, keys, table(20, 1)));
  pump();
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kRecordMalformed));
  EXPECT_EQ(pages->bytes, before.bytes);
  plane.distort = [](LinkReply& reply, const LinkRequest&) { reply.error = 200; };
  ASSERT_TRUE(fetch(2, keys, table(20, 1)));
  pump();
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kPlaneDown)) << "an error of a newer plane";
  expect_clean();
}

TEST_F(TransferTest, RefusedJobsEndWithAnEventToo) {
  open();
  const auto keys = test_keys(2);
  EXPECT_EQ(fetch(1, keys, table(0, 1)).error(), Error::kConfig) << "too few pages";
  auto ids = table(0, 2);
  ids[1] = 64 * 2;
  EXPECT_EQ(save(2, keys, ids).error(), Error::kConfig) << "a page that is not there";
  ids[1] = -1;
  EXPECT_EQ(fetch(3, keys, ids).error(), Error::kConfig);
  const auto all = events();
  ASSERT_EQ(all.size(), 3u);
  for (const ss_event& event : all) EXPECT_EQ(event.error, static_cast<ss_error>(Error::kConfig));
  for (uint32_t job = 0; job < TransferWorker::kJobsMax; ++job) ASSERT_TRUE(fetch(9, keys, table(0, 2)));
  EXPECT_EQ(fetch(10, keys, table(0, 2)).error(), Error::kNoCapacity);
  pump();
  size_t count = 0;
  for (auto some = events(); !some.empty(); some = events()) count += some.size();
  EXPECT_EQ(count, TransferWorker::kJobsMax + 1);
  expect_clean();
}

}  // namespace
}  // namespace shadowserve
