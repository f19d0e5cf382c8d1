// Exponential, normal, lognormal, geometric and Zipf from uniform numbers.
#include "sim/fleet/fleet_random.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "contract/check.h"

namespace shadowserve::fleet {

double RandomStream::exponential(double mean) { return -mean * std::log(uniform()); }

double RandomStream::normal() {
  const double radius = std::sqrt(-2 * std::log(uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

double RandomStream::lognormal(double median, double sigma) { return median * std::exp(sigma * normal()); }

uint32_t RandomStream::geometric(double mean) {
  if (mean <= 1) return 1;
  const double trials = std::log(uniform()) / std::log1p(-1 / mean);
  return 1 + static_cast<uint32_t>(std::min(trials, 1e6));
}

ZipfRanks::ZipfRanks(uint32_t count, double exponent) {
  SS_CHECK(count > 0, "there is something to choose from");
  up_to_.reserve(count);
  double sum = 0;
  for (uint32_t rank = 0; rank < count; ++rank) up_to_.push_back(sum += std::pow(rank + 1.0, -exponent));
}

uint32_t ZipfRanks::draw(RandomStream& stream) const {
  const double wanted = stream.uniform() * up_to_.back();
  const auto found = std::lower_bound(up_to_.begin(), up_to_.end(), wanted);
  return static_cast<uint32_t>(std::min<std::ptrdiff_t>(found - up_to_.begin(), std::ssize(up_to_) - 1));
}

}  // namespace shadowserve::fleet
