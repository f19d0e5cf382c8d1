// Our own distributions have the means they are asked for, and streams do not disturb each other.
#include "sim/fleet/fleet_random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace shadowserve::fleet {
namespace {

constexpr int kDraws = 200'000;

double mean_of(const std::function<double(RandomStream&)>& draw) {
  RandomStream stream(7, "test");
  double sum = 0;
  for (int i = 0; i < kDraws; ++i) sum += draw(stream);
  return sum / kDraws;
}

TEST(FleetRandom, MeansAreThoseAskedFor) {
  EXPECT_NEAR(mean_of([](RandomStream& stream) { return stream.uniform(); }), 0.5, 0.005);
  EXPECT_NEAR(mean_of([](RandomStream& stream) { return stream.exponential(3); }), 3, 0.03);
  EXPECT_NEAR(mean_of([](RandomStream& stream) { return stream.normal(); }), 0, 0.01);
  EXPECT_NEAR(mean_of([](RandomStream& stream) { return stream.geometric(5); }), 5, 0.05);
  EXPECT_EQ(mean_of([](RandomStream& stream) { return stream.geometric(1); }), 1);
  // Of a lognormal: median * exp(sigma^2 / 2).
  EXPECT_NEAR(mean_of([](RandomStream& stream) { return stream.lognormal(100, 0.8); }), 100 * std::exp(0.32),
              2);
}

TEST(FleetRandom, SquaresOfNormalsHaveMeanOne) {
  EXPECT_NEAR(mean_of([](RandomStream& stream) { return std::pow(stream.normal(), 2); }), 1, 0.02);
}

TEST(FleetRandom, ZipfFallsAsItsExponentSays) {
  const ZipfRanks ranks(1000, 1);
  RandomStream stream(1, "zipf");
  std::vector<int> drawn(1000);
  for (int i = 0; i < kDraws; ++i) ++drawn.at(ranks.draw(stream));
  EXPECT_NEAR(static_cast<double>(drawn[0]) / drawn[1], 2, 0.1);
  EXPECT_NEAR(static_cast<double>(drawn[0]) / drawn[9], 10, 1);
  const ZipfRanks even(1000, 0);  // the control: without an exponent nothing falls
  std::vector<int> level(1000);
  for (int i = 0; i < kDraws; ++i) ++level.at(even.draw(stream));
  EXPECT_LT(*std::max_element(level.begin(), level.end()), 300);
}

TEST(FleetRandom, StreamsAreNamedAndNumbered) {
  const auto first = [](uint64_t seed, const char* name, uint64_t index) {
    return RandomStream(seed, name, index).next();
  };
  EXPECT_EQ(first(1, "a", 0), first(1, "a", 0));
  EXPECT_NE(first(1, "a", 0), first(2, "a", 0));
  EXPECT_NE(first(1, "a", 0), first(1, "b", 0));
  EXPECT_NE(first(1, "a", 0), first(1, "a", 1));
}

}  // namespace
}  // namespace shadowserve::fleet
