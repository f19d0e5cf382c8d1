// Lookups step by step: the leading run, timeouts, the breaker, the saved-set, and no state left behind.
#include "control/lookup.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "control/lookup_fixture.h"

namespace shadowserve {
namespace {

class LookupTest : public LookupFixture {
 protected:
  LookupTest() : LookupFixture("lookup") {}
  void open() {
    open_lookup(one_part_options());
    pump();
    ASSERT_TRUE(lookup->worker().link().up());
  }
  void advance_ms(uint64_t ms) {
    clock.advance_ns(ms * kNsPerMs);
    pump();
  }
  void put(const std::vector<ChunkKey>& keys) {
    for (const ChunkKey& key : keys) plane.store[{key, 0}] = {};
  }
};

TEST_F(LookupTest, CountsTheLeadingRun) {
  open();
  const auto keys = test_keys(10);
  EXPECT_EQ(ask(1, keys), 0);
  put({keys.begin(), keys.begin() + 4});
  put({keys.begin() + 5, keys.end()});
  EXPECT_EQ(ask(2, keys), 4);
  put({keys[4]});
  EXPECT_EQ(ask(3, keys), 10);
  EXPECT_EQ(lookup->poll(3), 10) << "polling again changes nothing";
  EXPECT_EQ(ask(4, {}), 0);
  EXPECT_EQ(stats().chunks_found, 14u);
  EXPECT_EQ(stats().chunks_missing, 16u);
}

TEST_F(LookupTest, LongerThanTheRingAndAnsweredBackwards) {
  plane.ring_entries = 16;
  open();
  const auto keys = test_keys(500);
  put(keys);
  EXPECT_EQ(ask(1, keys), 500);
  EXPECT_LE(plane.held_most, 16u);
  plane.hold = true;
  lookup->start(2, std::vector(keys.begin(), keys.begin() + 8));
  pump();
  EXPECT_EQ(lookup->poll(2), SS_PENDING);
  answer_backwards();
  EXPECT_EQ(lookup->poll(2), 8);
  EXPECT_EQ(lookup->worker().in_flight(), 0u);
}

TEST_F(LookupTest, AMissDecidesWithoutWaitingForTheRest) {
  open();
  const auto keys = test_keys(8);
  put({keys[0]});
  plane.hold = true;
  lookup->start(1, keys);
  pump();
  ASSERT_EQ(plane.held.size(), 8u);
  const auto rest = std::vector(plane.held.begin() + 2, plane.held.end());
  plane.held.resize(2);
  plane.release_held();
  pump();
  EXPECT_EQ(lookup->poll(1), 1);
  plane.held = rest;
  plane.release_held();
  pump();
  EXPECT_EQ(lookup->poll(1), 1);
  EXPECT_EQ(lookup->worker().in_flight(), 0u);
}

TEST_F(LookupTest, ATimeoutMeansNotStored) {
  open();
  const auto keys = test_keys(3);
  put(keys);
  plane.hold = true;
  lookup->start(1, keys);
  pump();
  advance_ms(100);
  EXPECT_EQ(lookup->poll(1), SS_PENDING);
  advance_ms(5);
  EXPECT_EQ(lookup->poll(1), 0);
  EXPECT_EQ(stats().chunks_timed_out, 3u);
  plane.release_held();
  pump();
  EXPECT_EQ(lookup->poll(1), 0) << "a late answer changes nothing";
  EXPECT_EQ(lookup->worker().in_flight(), 0u);
  // Even when the link thread cannot run at all.
  lookup->start(2, keys);
  clock.advance_ns(110 * kNsPerMs);
  EXPECT_EQ(lookup->poll(2), 0);
  EXPECT_TRUE(lookup->worker().link().up());
}

TEST_F(LookupTest, TheBreakerOpensAfterThreeAndProbesOnce) {
  open();
  const auto keys = test_keys(2);
  put(keys);
  plane.hold = true;
  for (uint64_t id = 1; id <= 3; ++id) {
    lookup->start(id, keys);
    advance_ms(105);
    EXPECT_EQ(lookup->poll(id), 0);
    plane.release_held();
    pump();
  }
  EXPECT_EQ(ask(4, keys), 0);
  EXPECT_EQ(stats().chunks_breaker, 2u) << "not asked";
  advance_ms(2'000);
  plane.hold = false;
  lookup->start(5, keys);  // the probe
  lookup->start(6, keys);
  EXPECT_EQ(lookup->poll(6), 0) << "one probe only";
  lookup->forget(5);  // withdrawn: the next one probes
  lookup->start(7, keys);
  pump();
  EXPECT_EQ(lookup->poll(7), 2);
  EXPECT_EQ(ask(8, keys), 2) << "closed again";
}

TEST_F(LookupTest, FetchesThatFailOpenTheBreakerHoweverWellLookupsGo) {
  open();
  const auto keys = test_keys(2);
  put(keys);
  uint64_t id = 0;
  const auto ask_and_fetch = [&](Error error) {
    if (ask(++id, keys) == 0) return false;
    lookup->fetch_ended(error, nullptr);
    return true;
  };
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(ask_and_fetch(Error::kDeadline));
  EXPECT_FALSE(ask_and_fetch(Error::kDeadline)) << "as where the link of one rank is down";
  for (int i = 0; i < 3; ++i) {
    advance_ms(2'000);
    EXPECT_TRUE(ask_and_fetch(Error::kPlaneDown));
    EXPECT_FALSE(ask_and_fetch(Error::kPlaneDown)) << "the first that fails again is enough";
  }
  advance_ms(2'000);
  EXPECT_TRUE(ask_and_fetch(Error::kNone));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(ask_and_fetch(Error::kDeadline)) << "closed again";
  EXPECT_TRUE(ask_and_fetch(Error::kNone));
  // Negative control: a miss is no failure.
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(ask_and_fetch(Error::kMiss));
}

TEST_F(LookupTest, WithoutAPlaneTheAnswerIsThereAtOnce) {
  open();
  const auto keys = test_keys(2);
  put(keys);
  plane.hold = true;
  lookup->start(1, keys);
  pump();
  plane.die();
  advance_ms(2);
  EXPECT_EQ(lookup->poll(1), 0);
  lookup->start(2, keys);
  EXPECT_EQ(lookup->poll(2), 0);
  EXPECT_EQ(stats().chunks_without_plane, 4u);
  plane.hold = false;
  plane.come_back();
  advance_ms(1'000);
  EXPECT_EQ(ask(3, keys), 2);
  EXPECT_EQ(stats().connects, 2u);
}

TEST_F(LookupTest, ASilentPlaneIsReplaced) {
  open();
  plane.read_requests = false;
  lookup->start(1, test_keys(2));
  pump();
  advance_ms(105);
  EXPECT_EQ(lookup->poll(1), 0);
  advance_ms(1'050);
  EXPECT_FALSE(lookup->worker().link().up());
  plane.read_requests = true;
  advance_ms(1'000);
  EXPECT_TRUE(lookup->worker().link().up());
  EXPECT_EQ(lookup->worker().in_flight(), 0u);
}

TEST_F(LookupTest, WrongTicketsAnswerNothing) {
  open();
  const auto keys = test_keys(2);
  put(keys);
  plane.distort = [](LinkReply& reply, const LinkRequest&) { reply.ticket += 1u << 16; };
  lookup->start(1, keys);
  pump();
  EXPECT_EQ(lookup->poll(1), SS_PENDING);
  advance_ms(105);
  EXPECT_EQ(lookup->poll(1), 0);
}

TEST_F(LookupTest, SavesAreClaimedOnce) {
  open();
  const auto keys = test_keys(4);
  EXPECT_TRUE(lookup->claim_save(keys[0]));
  EXPECT_FALSE(lookup->claim_save(keys[0]));
  put({keys[1]});
  EXPECT_EQ(ask(1, {keys[1]}), 1);
  EXPECT_FALSE(lookup->claim_save(keys[1])) << "seen in the store";
  lookup->fetch_ended(Error::kRecordCorrupt, &keys[1]);
  EXPECT_TRUE(lookup->claim_save(keys[1])) << "damaged: save it again";
  // Not in the store: perhaps still on its way, later certainly not.
  EXPECT_EQ(ask(2, {keys[0]}), 0);
  EXPECT_FALSE(lookup->claim_save(keys[0]));
  advance_ms(options.save_timeout_ns / kNsPerMs + 1);
  EXPECT_EQ(ask(3, {keys[0]}), 0);
  EXPECT_TRUE(lookup->claim_save(keys[0]));
}

TEST_F(LookupTest, AnAnswerIsLearnedOnce) {
  open();
  const auto keys = test_keys(3);
  put(keys);
  EXPECT_EQ(ask(1, keys), 3);
  lookup->fetch_ended(Error::kRecordCorrupt, &keys[1]);
  EXPECT_EQ(lookup->poll(1), 3);
  lookup->forget(1);
  EXPECT_FALSE(lookup->claim_save(keys[0]));
  EXPECT_TRUE(lookup->claim_save(keys[1])) << "found damaged after the answer: not stored";
  EXPECT_FALSE(lookup->claim_save(keys[2]));
  // Negative control: an answer that came after the outcome is still news.
  const auto others = test_keys(6);
  put({others[4]});
  plane.hold = true;
  lookup->start(2, std::vector{others[3], others[4]});
  pump();
  ASSERT_EQ(plane.held.size(), 2u);
  const auto late = plane.held.back();
  plane.held.pop_back();
  plane.release_held();
  pump();
  EXPECT_EQ(lookup->poll(2), 0) << "the first one is missing";
  plane.held.push_back(late);
  plane.release_held();
  pump();
  lookup->forget(2);
  EXPECT_TRUE(lookup->claim_save(others[3]));
  EXPECT_FALSE(lookup->claim_save(others[4]));
  // A new question may say that it is stored.
  plane.hold = false;
  lookup->fetch_ended(Error::kRecordCorrupt, &keys[0]);
  EXPECT_EQ(ask(3, {keys[0]}), 1);
  EXPECT_FALSE(lookup->claim_save(keys[0]));
}

TEST_F(LookupTest, NothingIsLeftOfForgottenQuestions) {
  open();
  const auto keys = test_keys(3);
  put(keys);
  for (uint64_t id = 0; id < 5'000; ++id) {
    lookup->start(id, keys);
    if (id % 3 == 0) pump();
    lookup->forget(id);
    lookup->forget(id + 1'000'000);
  }
  pump();
  EXPECT_EQ(lookup->open_questions(), 0u);
  EXPECT_EQ(lookup->worker().in_flight(), 0u);
  EXPECT_EQ(lookup->poll(1), 0) << "unknown ids have nothing stored";
  EXPECT_EQ(ask(7, keys), 3);
  EXPECT_EQ(ask(7, {keys[0]}), 1) << "starting anew replaces the old question";
  stats();
}

TEST_F(LookupTest, ChainsFollowTheKeySpace) {
  open();
  std::vector<uint32_t> tokens(64 * 3 + 10);
  std::iota(tokens.begin(), tokens.end(), 0);
  std::vector<ChunkKey> keys(5), tail(5);
  EXPECT_EQ(lookup->chain(nullptr, tokens, {}, keys), 3u);
  EXPECT_EQ(lookup->chain(&keys[0], std::span(tokens).subspan(64), {}, tail), 2u);
  EXPECT_EQ(tail[1], keys[2]);
  const std::byte salt[1] = {std::byte{1}};
  EXPECT_EQ(lookup->chain(nullptr, tokens, salt, std::span(tail).first(1)), 1u);
  EXPECT_NE(tail[0], keys[0]);
}

TEST(SavedSet, ForgetsTheLeastRecentlyUsed) {
  SavedSet set(2);
  const auto keys = test_keys(3);
  EXPECT_TRUE(set.claim(keys[0], 1));
  EXPECT_TRUE(set.claim(keys[1], 2));
  EXPECT_FALSE(set.claim(keys[0], 3));
  EXPECT_TRUE(set.claim(keys[2], 4));
  EXPECT_EQ(set.size(), 2u);
  EXPECT_FALSE(set.claim(keys[0], 5));
  EXPECT_TRUE(set.claim(keys[1], 6)) << "it was the oldest";
}

}  // namespace
}  // namespace shadowserve
