// Engines of the C API over a running data plane with a BlueField's engines: they come and go, and whatever
// the device does, pages are what was saved.
#include "double_fixture.h"
#include "link/link_engine.h"
#include "memory/frozen_heap.h"

namespace shadowserve {
namespace {

class BluefieldPlaneTest : public OnTheDouble {
 protected:
  /// One engine saves, another fetches, both leave.
  void trip(uint32_t seed) {
    const ss_options options = engine_options("raw+deflate");
    Engine first(options), second(options);
    first.compute(seed);
    second.compute(seed + 1000);
    const auto keys = first.chain(prompt(1024, seed));
    const auto here = table(3, 8), there = table(20, 8);
    first.save(keys, here);
    ASSERT_EQ(second.stored(keys), 4);
    const ss_event event = second.fetch(keys, there);
    EXPECT_EQ(event.error, 0) << ss_error_name(event.error);
    ASSERT_EQ(event.chunks_placed, 4u);
    expect_same_pages(first, here, second, there);
  }
  /// Of one kind of engine, in the plane's statistics.
  uint64_t count(const ThreadedPlane& plane, const char* engine, const char* what) {
    uint64_t sum = 0;
    const nlohmann::json stats = plane.stats();
    for (const auto& row : stats["engines"]) {
      if (row["engine"] == engine) sum += row[what].get<uint64_t>();
    }
    return sum;
  }
};

TEST_F(BluefieldPlaneTest, StagingMemoryComesAndGoesWithEngines) {
  const uint64_t allocations = frozen_allocations();
  {
    ThreadedPlane plane("memory:", false, "bluefield");
    for (uint32_t seed = 1; seed <= 2; ++seed) trip(seed);
    EXPECT_EQ(count(plane, "deliver", "by_device"), 2u * 4) << "parts";
    EXPECT_EQ(count(plane, "collect", "by_device"), 2u * 4);
    EXPECT_GT(count(plane, "inflate", "by_device"), 2u * 4);
    EXPECT_EQ(count(plane, "deliver", "by_host"), 0u) << "the device knew of each engine's memory in time";
    EXPECT_EQ(frozen_allocations(), allocations);
  }
  expect_clean();
}

TEST_F(BluefieldPlaneTest, AStormOfTroubleCostsNoPage) {
  behaviour().busy_every = 5;
  behaviour().failing_every = 7;
  behaviour().reorder_seed = 3;
  behaviour().resets_every = 11;
  const uint64_t allocations = frozen_allocations();
  {
    ThreadedPlane plane("memory:", false, "bluefield");
    for (uint32_t seed = 1; seed <= 2; ++seed) trip(seed);
    EXPECT_GT(count(plane, "inflate", "failed"), 0u);
    EXPECT_GT(count(plane, "inflate", "by_device"), 0u) << "it came back";
    EXPECT_EQ(frozen_allocations(), allocations);
  }
  EXPECT_GE(doca_double::counts().resets, 1u);
  EXPECT_GT(doca_double::counts().starts, 3u) << "three engines of one lane, and revivals";
  expect_clean();
}

}  // namespace
}  // namespace shadowserve
