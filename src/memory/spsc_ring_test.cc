// Tests of the SPSC ring: order, bounds, two threads, the sleep handshake, and a hostile peer.
#include "memory/spsc_ring.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace shadowserve {
namespace {

template <typename Entry>
struct OwnedRing {
  explicit OwnedRing(uint32_t capacity)
      : memory(static_cast<std::byte*>(
                   std::aligned_alloc(64, (SpscRing<Entry>::bytes(capacity) + 63) / 64 * 64)),
               &std::free),
        ring(SpscRing<Entry>::create(memory.get(), capacity)) {}
  std::unique_ptr<std::byte, decltype(&std::free)> memory;
  SpscRing<Entry> ring;
};

TEST(SpscRing, KeepsOrderAndRefusesWhenFull) {
  OwnedRing<int> owned(4);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(owned.ring.push(i));
  EXPECT_FALSE(owned.ring.push(4));
  EXPECT_EQ(owned.ring.size(), 4u);
  int out = -1;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(owned.ring.pop(out));
    EXPECT_EQ(out, i);
  }
  EXPECT_FALSE(owned.ring.pop(out));
}

TEST(SpscRing, TwoThreadsSeeEveryEntryOnce) {
  OwnedRing<uint64_t> owned(64);
  constexpr uint64_t kCount = 200'000;
  std::thread producer([&] {
    for (uint64_t i = 0; i < kCount;) {
      if (owned.ring.push(i))
        ++i;
      else
        std::this_thread::yield();
    }
  });
  for (uint64_t expected = 0; expected < kCount;) {
    uint64_t got = 0;
    if (!owned.ring.pop(got)) {
      std::this_thread::yield();
      continue;
    }
    ASSERT_EQ(got, expected++);
  }
  producer.join();
}

TEST(SpscRing, ASleeperIsRungOnceAndOnlyWhenItSleeps) {
  OwnedRing<int> owned(4);
  ASSERT_TRUE(owned.ring.push(1));
  EXPECT_FALSE(owned.ring.must_ring());
  EXPECT_FALSE(owned.ring.prepare_sleep()) << "an entry waits: do not sleep";
  int out = 0;
  ASSERT_TRUE(owned.ring.pop(out));
  ASSERT_TRUE(owned.ring.prepare_sleep());
  ASSERT_TRUE(owned.ring.push(2));
  EXPECT_TRUE(owned.ring.must_ring());
  EXPECT_FALSE(owned.ring.must_ring());
}

TEST(SpscRing, AHostileTailNeverReadsOutsideTheRing) {
  OwnedRing<int> owned(4);
  auto* header = reinterpret_cast<RingHeader*>(owned.memory.get());
  header->tail.store(~uint64_t{0} - 5);
  EXPECT_EQ(owned.ring.size(), 4u) << "clamped to the capacity";
  int out = 0;
  for (int i = 0; i < 100; ++i) owned.ring.pop(out);  // garbage, but inside the ring (ASAN watches)
}

}  // namespace
}  // namespace shadowserve
