// A model in several shards: one lookup beside the scheduler, one transfer a shard, and chunks that only
// count whole.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

#include "control/lookup_fixture.h"
#include "control/transfer.h"

namespace shadowserve {
namespace {

constexpr uint32_t kShards = 3;

class ShardsTest : public LookupFixture {
 protected:
  ShardsTest() : LookupFixture("shards") {}
  void SetUp() override {
    ss_options given = one_part_options();
    given.shard_count = kShards;
    open_lookup(given);
    for (uint32_t shard = 0; shard < kShards; ++shard) {
      given.shard = shard;
      const ClientOptions own = checked(given, plane.path(), ClientRole::kTransfer);
      pages[shard] = std::make_unique<TestPages>(own.geometry(), 64);
      pages[shard]->fill_random(100 + shard);
      transfers[shard] = std::make_unique<Transfer>(own, clock, Transfer::Thread::kStepped);
      std::string message;
      ASSERT_TRUE(transfers[shard]->register_pages(pages[shard]->described, message)) << message;
    }
    pump();
    ASSERT_TRUE(lookup->worker().link().up());
  }
  bool step_engine() override {
    bool busy = lookup->worker().step();
    for (const auto& transfer : transfers) busy = transfer->worker().step() || busy;
    return busy;
  }
  void put(const ChunkKey& chunk, uint32_t shard) { plane.store[{shard_key(chunk, shard), 0}] = {}; }
  void put_whole(const std::vector<ChunkKey>& chunks) {
    for (const ChunkKey& chunk : chunks) {
      for (uint32_t shard = 0; shard < kShards; ++shard) put(chunk, shard);
    }
  }
  ss_event move(ss_event_kind kind, uint32_t shard, const std::vector<ChunkKey>& keys, int32_t first_page) {
    std::vector<int32_t> ids(keys.size() * 2);
    std::iota(ids.begin(), ids.end(), first_page);
    const Transfer::Ask asked{1, raw(keys), 0, static_cast<uint32_t>(keys.size()), 0, ids};
    Transfer& transfer = *transfers[shard];
    EXPECT_TRUE(kind == SS_FETCHED ? transfer.fetch(asked) : transfer.save(asked));
    pump();
    std::array<ss_event, 4> events{};
    EXPECT_EQ(transfer.poll(events), 1u);
    return events[0];
  }

  std::array<std::unique_ptr<TestPages>, kShards> pages;
  std::array<std::unique_ptr<Transfer>, kShards> transfers;
};

TEST_F(ShardsTest, AChunkIsStoredWhenEveryShardHasIt) {
  const auto keys = test_keys(6);
  put_whole({keys.begin(), keys.begin() + 3});
  put_whole({keys.begin() + 4, keys.end()});
  EXPECT_EQ(ask(1, keys), 3);
  for (uint32_t shard = 0; shard < kShards; ++shard) {
    // Negative control: all but one shard, whichever it is, are not enough.
    for (uint32_t other = 0; other < kShards; ++other) {
      if (other != shard) put(keys[3], other);
    }
    EXPECT_EQ(ask(2, keys), 3) << "without shard " << shard;
    put(keys[3], shard);
    EXPECT_EQ(ask(3, keys), 6);
    for (uint32_t each = 0; each < kShards; ++each) plane.store.erase({shard_key(keys[3], each), 0});
  }
  // Neither the chunk's own key nor a shard that this model does not have stands for one.
  plane.store[{keys[3], 0}] = {};
  put(keys[3], kShards);
  EXPECT_EQ(ask(4, keys), 3);
  // Chunks of all shards count.
  EXPECT_EQ(stats().chunks_found, kShards * (3u + 3 * (3 + 6) + 3));
  EXPECT_EQ(stats().chunks_missing, kShards * (3u + 3 * 3 + 3));
}

TEST_F(ShardsTest, AnswersMayComeInAnyOrder) {
  const auto keys = test_keys(5);
  put_whole(keys);
  plane.hold = true;
  lookup->start(1, keys);
  pump();
  ASSERT_EQ(plane.held.size(), 5 * kShards);
  const FakePlane::Held last = plane.held.front();
  plane.held.erase(plane.held.begin());
  answer_backwards();
  EXPECT_EQ(lookup->poll(1), SS_PENDING) << "one shard of the first chunk has not answered";
  plane.held.push_back(last);
  plane.release_held();
  pump();
  EXPECT_EQ(lookup->poll(1), 5);
  EXPECT_EQ(lookup->worker().in_flight(), 0u);
}

TEST_F(ShardsTest, OneShardThatLacksAChunkDecidesAtOnce) {
  const auto keys = test_keys(4);
  put_whole(keys);
  plane.store.erase({shard_key(keys[1], 2), 0});
  plane.hold = true;
  lookup->start(1, keys);
  pump();
  // Only chunk 0 and the shard that lacks chunk 1 answer.
  auto rest = plane.held;
  std::erase_if(plane.held, [&](const FakePlane::Held& held) {
    for (uint32_t shard = 0; shard < kShards; ++shard) {
      if (held.key == shard_key(keys[0], shard)) return false;
    }
    return held.key != shard_key(keys[1], 2);
  });
  ASSERT_EQ(plane.held.size(), kShards + 1);
  std::erase_if(rest, [&](const FakePlane::Held& held) {
    return std::any_of(plane.held.begin(), plane.held.end(),
                       [&](const FakePlane::Held& other) { return other.ticket == held.ticket; });
  });
  plane.release_held();
  pump();
  EXPECT_EQ(lookup->poll(1), 1);
  plane.held = rest;
  plane.release_held();
  pump();
  EXPECT_EQ(lookup->poll(1), 1);
  // What was learned: chunks are known as stored only when all of their shards said so.
  lookup->forget(1);
  EXPECT_FALSE(lookup->claim_save(keys[0]));
  EXPECT_TRUE(lookup->claim_save(keys[1])) << "the other shards' answers, which came later, say nothing";
  EXPECT_FALSE(lookup->claim_save(keys[2]));
}

TEST_F(ShardsTest, OneShardThatDoesNotAnswerCostsTheDeadlineOnly) {
  const auto keys = test_keys(3);
  put_whole(keys);
  plane.distort = [&](LinkReply& reply, const LinkRequest& request) {
    if (request.key == shard_key(keys[0], 1)) reply.ticket += 1u << 16;  // lost on its way
  };
  lookup->start(1, keys);
  pump();
  EXPECT_EQ(lookup->poll(1), SS_PENDING);
  clock.advance_ns(105 * kNsPerMs);
  pump();
  EXPECT_EQ(lookup->poll(1), 0);
  EXPECT_EQ(stats().chunks_timed_out, 3u * kShards);
}

TEST_F(ShardsTest, ALongPromptOfEightShardsFitsASmallRing) {
  FakePlane small("small-ring");
  small.ring_entries = 16;
  ss_options given = one_part_options();
  given.shard_count = 8;
  Lookup eight(checked(given, small.path(), ClientRole::kLookup), clock, Lookup::Thread::kStepped);
  const auto step = [&] {
    for (int idle = 0; idle < 3;) {
      const bool engine = eight.worker().step();
      const bool other = small.step();
      idle = engine || other ? 0 : idle + 1;
    }
  };
  step();
  const auto keys = test_keys(300);
  for (const ChunkKey& key : keys) {
    for (uint32_t shard = 0; shard < 8; ++shard) small.store[{shard_key(key, shard), 0}] = {};
  }
  eight.start(1, keys);
  step();
  EXPECT_EQ(eight.poll(1), 300);
  EXPECT_EQ(small.asked, 300u * 8);
  EXPECT_LE(small.held_most, 16u);
}

TEST_F(ShardsTest, EveryShardSavesAndFetchesItsOwn) {
  const auto keys = test_keys(2);
  for (uint32_t shard = 0; shard < kShards; ++shard) {
    EXPECT_EQ(ask(1, keys), 0) << shard << " shards of three are saved";
    EXPECT_EQ(move(SS_GATHERED, shard, keys, 0).error, 0);
  }
  EXPECT_EQ(plane.store.size(), 2 * kShards);
  EXPECT_EQ(ask(2, keys), 2);
  const auto same = [&](uint32_t shard, uint32_t saved_by) {
    return pages[shard]->same_token(*pages[saved_by], 20, 0, 5) &&
           pages[shard]->same_token(*pages[saved_by], 23, 3, 31);
  };
  for (uint32_t shard = 0; shard < kShards; ++shard) {
    EXPECT_EQ(move(SS_FETCHED, shard, keys, 20).chunks_placed, 2u);
    EXPECT_TRUE(same(shard, shard));
    EXPECT_FALSE(same(shard, (shard + 1) % kShards)) << "negative control: shards hold different values";
  }
  // One shard's record is gone: that shard says so, the others do not know.
  plane.store.erase({shard_key(keys[1], 1), 0});
  EXPECT_EQ(move(SS_FETCHED, 0, keys, 30).chunks_placed, 2u);
  const ss_event failed = move(SS_FETCHED, 1, keys, 30);
  EXPECT_EQ(failed.chunks_placed, 1u);
  EXPECT_EQ(failed.error, static_cast<ss_error>(Error::kMiss));
}

TEST(Shards, ModelsThatAreSplitOtherwiseShareNoKeys) {
  FakePlane plane("shards-alone");
  VirtualClock clock;
  std::vector<uint32_t> tokens(64);
  std::iota(tokens.begin(), tokens.end(), 0);
  std::vector<ChunkKey> all;
  for (const uint32_t shards : {1u, 2u, 4u}) {
    ss_options given = one_part_options();
    given.shard_count = shards;
    Lookup lookup(checked(given, plane.path(), ClientRole::kLookup), clock, Lookup::Thread::kStepped);
    std::vector<ChunkKey> key(1);
    ASSERT_EQ(lookup.chain(nullptr, tokens, {}, key), 1u);
    all.push_back(key[0]);
    for (uint32_t shard = 0; shard < shards; ++shard) all.push_back(shard_key(key[0], shard));
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
}

}  // namespace
}  // namespace shadowserve
