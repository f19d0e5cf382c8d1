// Transfers step by step: what is saved and fetched, in which order, and what stays untouched.
#include "control/transfer.h"

#include <gtest/gtest.h>

#include "control/transfer_fixture.h"

namespace shadowserve {
namespace {

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

TEST_F(TransferTest, RequestsSayWhereInTheSequenceTheirChunkIs) {
  open(many_part_options());
  const auto keys = test_keys(6);
  pages->fill_random(3);
  ASSERT_TRUE(transfer->save({1, raw(keys), 0, 6, 0, table(0, 6)}));
  pump();
  EXPECT_EQ(only_event().error, 0);
  for (const auto& [key, index] : plane.chunk_indices)
    EXPECT_EQ(index, static_cast<uint32_t>(key.first[0])) << "part " << key.second;
  EXPECT_EQ(plane.chunk_indices.size(), 6u * 8);
  // Just the last chunks, and keys of just these: the plane compares.
  ASSERT_TRUE(transfer->fetch({2, raw(keys) + 4 * SS_KEY_BYTES, 4, 2, 0, table(20, 6)}));
  pump();
  EXPECT_EQ(only_event().chunks_placed, 2u);
  ASSERT_TRUE(transfer->fetch({3, raw(keys) + 4 * SS_KEY_BYTES, 3, 2, 0, table(20, 6)}));
  pump();
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kRecordMalformed)) << "negative control";
  expect_clean();
}

TEST_F(TransferTest, AChunkBeyondWhatARequestCanSayIsRefused) {
  open();
  const auto keys = test_keys(2);
  std::vector<int32_t> ids((size_t{kLinkChunksMax} + 1) * per_chunk);
  EXPECT_FALSE(transfer->fetch({1, raw(keys), kLinkChunksMax - 1, 2, 0, ids}));
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kConfig));
  EXPECT_TRUE(transfer->fetch({2, raw(keys), kLinkChunksMax - 1, 1, 0, ids})) << "negative control";
  pump();
  EXPECT_EQ(only_event().error, static_cast<ss_error>(Error::kMiss));
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

}  // namespace
}  // namespace shadowserve
