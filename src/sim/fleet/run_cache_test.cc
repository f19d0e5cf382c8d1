// The cache behaves as a plain list of runs by use does.
#include "sim/fleet/run_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>

#include "sim/fleet/fleet_random.h"

namespace shadowserve::fleet {
namespace {

/// Written to be obviously right. The newest is in front.
class PlainCache {
 public:
  explicit PlainCache(uint64_t capacity) : capacity_(capacity) {}
  uint32_t use(uint64_t key) {
    const auto found = find(key);
    if (found == runs_.end()) return 0;
    if (found->pins == 0) runs_.splice(runs_.begin(), runs_, found);
    return found->chunks;
  }
  bool put(uint64_t key, uint32_t chunks) {
    const auto found = find(key);
    const uint32_t had = found == runs_.end() ? 0 : found->chunks;
    if (chunks <= had) return use(key) > 0;
    if (found != runs_.end()) runs_.splice(runs_.begin(), runs_, found);
    while (used() + chunks - had > capacity_) {
      const auto oldest = std::find_if(runs_.rbegin(), runs_.rend(),
                                       [&](const Run& run) { return run.pins == 0 && run.key != key; });
      if (oldest == runs_.rend()) return false;
      runs_.erase(std::next(oldest).base());
    }
    if (had > 0) {
      find(key)->chunks = chunks;
    } else {
      runs_.push_front({key, chunks, 0});
    }
    return true;
  }
  void pin(uint64_t key) { ++find(key)->pins; }
  void unpin(uint64_t key) {
    const auto found = find(key);
    if (--found->pins == 0) runs_.splice(runs_.begin(), runs_, found);
  }
  uint64_t used() const {
    uint64_t sum = 0;
    for (const Run& run : runs_) sum += run.chunks;
    return sum;
  }
  size_t size() const { return runs_.size(); }

 private:
  struct Run {
    uint64_t key;
    uint32_t chunks, pins;
  };
  std::list<Run>::iterator find(uint64_t key) {
    return std::find_if(runs_.begin(), runs_.end(), [&](const Run& run) { return run.key == key; });
  }
  uint64_t capacity_;
  std::list<Run> runs_;
};

TEST(RunCache, DoesWhatAPlainListDoes) {
  RunCache cache(100);
  PlainCache plain(100);
  RandomStream stream(17, "operations");
  std::vector<uint64_t> pinned;
  for (int i = 0; i < 50'000; ++i) {
    const uint64_t key = mixed(stream.below(80));
    switch (stream.below(8)) {
      case 0:
        if (pinned.size() < 8 && plain.use(key) > 0 && cache.use(key, 0) > 0) {
          plain.pin(key);
          cache.pin(key);
          pinned.push_back(key);
        }
        break;
      case 1:
        if (!pinned.empty()) {
          const size_t place = stream.below(pinned.size());
          plain.unpin(pinned[place]);
          cache.unpin(pinned[place]);
          pinned.erase(pinned.begin() + static_cast<std::ptrdiff_t>(place));
        }
        break;
      case 2:
      case 3:
      case 4: {
        const auto chunks = static_cast<uint32_t>(1 + stream.below(4));
        ASSERT_EQ(cache.put(key, chunks, 0), plain.put(key, chunks)) << i;
        break;
      }
      default:
        ASSERT_EQ(cache.use(key, 0), plain.use(key)) << i;
    }
    ASSERT_EQ(cache.used_chunks(), plain.used()) << i;
    ASSERT_EQ(cache.runs(), plain.size()) << i;
  }
  EXPECT_GT(cache.evicted_chunks(), 1'000u);
}

TEST(RunCache, TheLeastRecentlyUsedLeavesFirst) {
  RunCache cache(3);
  for (uint64_t key = 1; key <= 3; ++key) ASSERT_TRUE(cache.put(key, 1, 0));
  EXPECT_EQ(cache.use(1, 0), 1u);
  ASSERT_TRUE(cache.put(4, 1, 0));
  EXPECT_EQ(cache.held(1, 0), 1u);  // used since; without that use it would have left
  EXPECT_EQ(cache.held(2, 0), 0u);
  RunCache unused(3);  // the control: that use not made
  for (uint64_t key = 1; key <= 4; ++key) ASSERT_TRUE(unused.put(key, 1, 0));
  EXPECT_EQ(unused.held(1, 0), 0u);
}

TEST(RunCache, WhatIsSavedIsThereWhenItHasCome) {
  RunCache cache(8);
  ASSERT_TRUE(cache.put(1, 2, 100));
  EXPECT_EQ(cache.held(1, 99), 0u);
  EXPECT_EQ(cache.held(1, 100), 2u);
  ASSERT_TRUE(cache.put(1, 4, 300));  // two more
  EXPECT_EQ(cache.held(1, 299), 2u);
  EXPECT_EQ(cache.held(1, 300), 4u);
}

TEST(RunCache, PinnedRunsStay) {
  RunCache cache(2);
  ASSERT_TRUE(cache.put(1, 2, 0));
  cache.pin(1);
  EXPECT_FALSE(cache.put(2, 1, 0));
  EXPECT_EQ(cache.held(1, 0), 2u);
  EXPECT_EQ(cache.pinned_chunks(), 2u);
  cache.unpin(1);
  EXPECT_TRUE(cache.put(2, 1, 0));
  EXPECT_EQ(cache.held(1, 0), 0u);
}

}  // namespace
}  // namespace shadowserve::fleet
