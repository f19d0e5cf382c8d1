// Every way a job can end other than well: silent, dead and lying planes, cancels, deadlines, refusals.
#include <gtest/gtest.h>

#include <cstring>

#include "control/transfer_fixture.h"

namespace shadowserve {
namespace {

using TransferEndingsTest = TransferTest;

TEST_F(TransferEndingsTest, ASilentPlaneCannotHoldAFetchBeyondItsDeadline) {
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

TEST_F(TransferEndingsTest, APlaneSilentForLongIsReplacedWithFreshMemory) {
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

TEST_F(TransferEndingsTest, ADeadPlaneEndsWhatIsInFlightAndIsFoundAgain) {
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

TEST_F(TransferEndingsTest, CancelledFetchIsNotWrittenAnyMore) {
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

TEST_F(TransferEndingsTest, CancelledSaveStoresNoWholeChunkThatWasNotRead) {
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

TEST_F(TransferEndingsTest, ASaveThatCannotBeGatheredInTimeIsDropped) {
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

TEST_F(TransferEndingsTest, StrangeAnswersAreIgnoredUntilTheyAreTooMany) {
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

TEST_F(TransferEndingsTest, AnAnswerOfAnotherSizeIsNotPlaced) {
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

TEST_F(TransferEndingsTest, RefusedJobsEndWithAnEventToo) {
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
