// Random numbers that are the same on every machine with the same libm: streams by name, transforms of our
// own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace shadowserve::fleet {

/// A bijection of 64 bits that leaves no pattern (the finalizer of SplitMix64; Steele, Lea, Flood, OOPSLA
/// 2014).
constexpr uint64_t mixed(uint64_t bits) {
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
  return bits ^ (bits >> 31);
}

constexpr uint64_t mixed(uint64_t first, uint64_t second) {
  return mixed(first + 0x9e3779b97f4a7c15u * (mixed(second) | 1));
}

/// SplitMix64 with a name: the numbers of one stream do not move when another stream draws more or fewer. The
/// standard's distributions are left alone, because each library draws them in its own way.
class RandomStream {
 public:
  /// `index` tells apart streams of one name: the conversation, the shard, ...
  constexpr RandomStream(uint64_t seed, std::string_view name, uint64_t index = 0)
      : state_(mixed(mixed(seed, hash_of(name)), index)) {}

  constexpr uint64_t next() { return mixed(state_ += 0x9e3779b97f4a7c15u); }
  /// In (0, 1]: never 0, so that its logarithm is finite.
  constexpr double uniform() { return static_cast<double>((next() >> 11) + 1) * 0x1p-53; }
  /// In [0, bound); the bias of bound / 2^32 does not matter here. REQUIRES 0 < bound < 2^32.
  constexpr uint64_t below(uint64_t bound) { return ((next() >> 32) * bound) >> 32; }
  /// Inverse of the distribution function.
  double exponential(double mean);
  /// Box and Muller's transform; the second number of the pair is thrown away.
  double normal();
  /// exp(normal * sigma) times the median.
  double lognormal(double median, double sigma);
  /// 1, 2, 3, ... with the given mean (at least 1).
  uint32_t geometric(double mean);

 private:
  /// FNV-1a.
  static constexpr uint64_t hash_of(std::string_view name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char letter : name) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3u;
    return hash;
  }

  uint64_t state_;
};

/// Ranks 0, 1, 2, ... whose probability falls as 1 / (rank + 1)^exponent, by a table of the distribution
/// function.
class ZipfRanks {
 public:
  ZipfRanks(uint32_t count, double exponent);
  uint32_t draw(RandomStream& stream) const;

 private:
  std::vector<double> up_to_;
};

}  // namespace shadowserve::fleet
