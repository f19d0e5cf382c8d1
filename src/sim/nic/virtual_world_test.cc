// Tests of virtual time and of the memory system that work shares.
#include "sim/nic/virtual_world.h"

#include <gtest/gtest.h>

#include "sim/nic/service_center.h"

namespace shadowserve::nic {
namespace {

/// How long each piece of work takes when all begin together.
std::vector<double> times(double memory_gb_s, const std::vector<Work>& works) {
  VirtualWorld world(memory_gb_s);
  const double begun = world.exact_now_ns();
  std::vector<double> took(works.size());
  for (size_t i = 0; i < works.size(); ++i) {
    world.start(works[i], [&, i] { took[i] = world.exact_now_ns() - begun; });
  }
  while (world.step()) continue;
  return took;
}

TEST(VirtualWorld, TwoPiecesOfWorkThatAreBoundByMemoryHalveEachOther) {
  const Work bound{1000, 10'000};  // 10 GB/s
  EXPECT_NEAR(times(10, {bound, bound})[0], 2000, 1);
  EXPECT_NEAR(times(10, {bound, bound})[1], 2000, 1);
  EXPECT_NEAR(times(20, {bound, bound})[0], 1000, 1) << "negative control: enough for both";
  EXPECT_NEAR(times(0, {bound, bound})[0], 1000, 1) << "0 is ample";
}

TEST(VirtualWorld, WhoAsksForLittleGetsIt) {
  const auto took = times(10, {{1000, 2'000}, {1000, 20'000}, {1000, 0}});
  EXPECT_NEAR(took[0], 1000, 1);
  EXPECT_NEAR(took[2], 1000, 1) << "work without memory is not slowed";
  // 8 GB/s for 1,000 ns, then 10 GB/s for the other 12,000 bytes.
  EXPECT_NEAR(took[1], 1000 + 1200, 1);
}

TEST(VirtualWorld, EventsComeInTheirOrder) {
  VirtualWorld world(0);
  std::vector<int> order;
  const double now = world.exact_now_ns();
  world.at(now + 20, [&] { order.push_back(3); });
  world.at(now + 10, [&] { order.push_back(1); });
  world.at(now + 10, [&] { order.push_back(2); });
  world.start({15, 0}, [&] { world.at(0, [&] { order.push_back(9); }); });
  while (world.step()) continue;
  EXPECT_EQ(order, (std::vector<int>{1, 2, 9, 3})) << "what is late happens now";
}

TEST(VirtualWorld, AServiceCenterWorksOnAsManyAsItHasServers) {
  const auto last = [](uint32_t servers) {
    VirtualWorld world(0);
    ServiceCenter center(world, servers, 5);
    const double begun = world.exact_now_ns();
    double end = 0;
    for (int i = 0; i < 6; ++i) center.submit({100, 0}, [&] { end = world.exact_now_ns() - begun; });
    while (world.step()) continue;
    return end;
  };
  EXPECT_NEAR(last(1), 605, 1e-3);
  EXPECT_NEAR(last(3), 205, 1e-3);
}

}  // namespace
}  // namespace shadowserve::nic
