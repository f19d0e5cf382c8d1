// Makes the bench's values when nobody gives it a real KV cache.
#include <cstring>

#include "bench/bench_input.h"
#include "codec/element.h"

namespace shadowserve {
namespace {

/// SplitMix64: small, and the same on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }
  /// Bell-shaped with deviation 1: the sum of four uniform numbers, which needs no library that rounds
  /// elsewhere.
  float bell() {
    const uint64_t bits = next();
    int32_t sum = -2 * 65535;
    for (int i = 0; i < 4; ++i) sum += static_cast<int32_t>(bits >> (16 * i) & 0xffff);
    return static_cast<float>(sum) / 37837.0f;  // 65536 * sqrt(4 / 12)
  }

 private:
  uint64_t state_;
};

constexpr uint64_t kOutlierEvery = 32;
constexpr float kOutlierWidth = 12.0f;
constexpr float kKept = 0.6f, kFresh = 0.8f;  // of the token before, and new: the squares add up to 1

struct Channel {
  float width = 1, shift = 0, last = 0;
};

std::vector<Channel> make_channels(uint32_t count, bool is_key, Random& random) {
  std::vector<Channel> channels(count);
  for (Channel& channel : channels) {
    channel.width = static_cast<float>(2 + random.next() % 15) / 8.0f;
    if (!is_key) continue;  // in real caches it is the keys that have outlier channels
    if (random.next() % kOutlierEvery == 0) channel.width *= kOutlierWidth;
    if (random.next() % 8 == 0) channel.shift = 6.0f * random.bell();
  }
  return channels;
}

}  // namespace

std::vector<std::byte> made_up_kv(const KvShape& shape) {
  const KvGeometry& geometry = shape.geometry;
  Random random(20240229);
  std::vector<std::byte> dump(shape.bytes());
  std::byte* at = dump.data();
  for (uint32_t plane = 0; plane < geometry.planes(); ++plane) {
    std::vector<Channel> channels = make_channels(geometry.channels(), plane % 2 == 0, random);
    for (uint32_t token = 0; token < shape.tokens; ++token) {
      for (Channel& channel : channels) {
        channel.last = kKept * channel.last + kFresh * random.bell();
        const uint16_t bits =
            element::from_float(channel.last * channel.width + channel.shift, geometry.element);
        std::memcpy(at, &bits, sizeof bits);
        at += sizeof bits;
      }
    }
  }
  return dump;
}

}  // namespace shadowserve
