// The profile for models that nobody calibrated: what its steps promise, and which tokens it keeps.
#include "codec/spread.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "codec/codec.h"
#include "codec/element.h"

namespace shadowserve {
namespace {

const KvGeometry kGeometry{2, 2, 64, 256, ElementType::kBf16};
constexpr uint32_t kSink = 130;

struct Trip {
  PartShape shape = part_shape(kGeometry, 0);
  std::vector<std::byte> values, back, record;
  RecordView view;

  Trip() : values(shape.value_bytes()), back(shape.value_bytes()), record(kRecordBytesMax) {
    std::mt19937 random(3);
    for (size_t i = 0; i < shape.values(); ++i) {
      float sum = 0;
      for (int k = 0; k < 4; ++k) sum += static_cast<float>(random() % 4096) / 2048 - 1;
      const auto channel = i % kGeometry.channels();
      set(i, sum * (channel % 16 == 0 ? 20.0f : 1.0f) + (channel % 7 == 0 ? 5.0f : 0.0f));
    }
  }
  void set(size_t index, float value) {
    const uint16_t bits = element::from_float(value, kGeometry.element);
    std::memcpy(values.data() + 2 * index, &bits, 2);
  }
  float at(std::span<const std::byte> from, size_t index) const {
    uint16_t bits;
    std::memcpy(&bits, from.data() + 2 * index, 2);
    return element::from_bf16(bits);
  }
  size_t index(uint32_t plane, uint32_t token, uint32_t channel) const {
    return plane * kGeometry.plane_values() + size_t{token} * kGeometry.channels() + channel;
  }
  bool run(const char* name = "generic") {
    record.resize(kRecordBytesMax);
    const auto size = encode_part(*profile_from_name(name), shape, {}, SealKind::kXxh3, {}, values, record);
    if (!size) return false;
    record.resize(*size);
    return open_record(record, shape, {}, {}, view) && decode_part(record, shape, {}, {}, back);
  }
  /// Root mean square of the errors of a plane's channel.
  float error(uint32_t plane, uint32_t channel) const {
    float squares = 0;
    for (uint32_t t = 0; t < kGeometry.chunk_tokens; ++t) {
      const float off = at(values, index(plane, t, channel)) - at(back, index(plane, t, channel));
      squares += off * off / kGeometry.chunk_tokens;
    }
    return std::sqrt(squares);
  }
};

TEST(Spread, StepsGrowWithTheRootOfTheSpread) {
  Trip trip;
  trip.shape.first_position = 256;
  ASSERT_TRUE(trip.run());
  // Channel 16 is 20 times as wide as channel 1: its errors are sqrt(20) times as large, not 20 times.
  const float ratio = trip.error(0, 16) / trip.error(0, 1);
  EXPECT_GT(ratio, 3.5f);
  EXPECT_LT(ratio, 5.5f);
  EXPECT_GT(static_cast<double>(trip.values.size()) / static_cast<double>(trip.record.size()), 3.5);
}

TEST(Spread, TokensWithTheSmallestValuesAreKeptInEightBits) {
  Trip trip;
  trip.shape.first_position = 256;
  for (uint32_t channel = 0; channel < kGeometry.channels(); ++channel) {
    trip.set(trip.index(1, kSink, channel), 0.01f);
    trip.set(trip.index(0, kSink, channel), 300.0f);  // far out: it must not stretch the others' range
  }
  ASSERT_TRUE(trip.run());
  EXPECT_EQ(trip.view.frame(0).kept.head.int8_rows, 1);
  uint16_t token;
  std::memcpy(&token, trip.view.frame(0).kept.int8_tokens, sizeof token);
  EXPECT_EQ(token, kSink);
  EXPECT_NEAR(trip.at(trip.back, trip.index(0, kSink, 9)), 300.0f, 1.5f);
  EXPECT_LT(trip.error(0, 1), 0.5f);
  // A control: kv4 keeps nothing aside, and the far token spoils its channel's group.
  ASSERT_TRUE(trip.run("kv4"));
  EXPECT_GT(trip.error(0, 1), 2.0f);
}

TEST(Spread, AsManySinksAsThereAreButNoMoreThanOneOf64Tokens) {
  std::vector<float> likeness(256, -100.0f);
  EXPECT_EQ(count_sinks(likeness), 0);
  likeness[5] = -26.0f;  // 0.51 times as large as the others
  EXPECT_EQ(count_sinks(likeness), 0);
  likeness[5] = -24.0f;
  EXPECT_EQ(count_sinks(likeness), 1);
  for (size_t i = 0; i < 100; ++i) likeness[2 * i] = -1.0f;
  EXPECT_EQ(count_sinks(likeness), 4);
  EXPECT_EQ(count_sinks(std::span(likeness).first(255)), 4)
      << "the first token of a sequence is no candidate";
  EXPECT_EQ(count_sinks({}), 0);
  EXPECT_EQ(count_sinks(std::vector<float>(256, 0.0f)), 0) << "zeros everywhere";
}

TEST(Spread, TheFirstTokenOfASequenceIsKeptExactly) {
  for (const uint32_t position : {0u, 256u}) {
    Trip trip;
    trip.shape.first_position = position;
    ASSERT_TRUE(trip.run());
    bool exact = true;
    for (uint32_t plane = 0; plane < 4; ++plane)
      for (uint32_t channel = 0; channel < kGeometry.channels(); ++channel)
        exact &= trip.at(trip.values, trip.index(plane, 0, channel)) ==
                 trip.at(trip.back, trip.index(plane, 0, channel));
    EXPECT_EQ(exact, position == 0);
  }
}

TEST(Spread, ChannelsThatNeverChangeCostAlmostNothing) {
  Trip trip;
  trip.shape.first_position = 256;
  ASSERT_TRUE(trip.run());
  const size_t before = trip.record.size();
  uint32_t constant = 0;
  for (uint32_t channel = 0; channel < kGeometry.channels(); channel += 3, ++constant) {
    for (uint32_t t = 0; t < kGeometry.chunk_tokens; ++t) trip.set(trip.index(0, t, channel), 42.0f);
  }
  ASSERT_TRUE(trip.run());
  // At first such channels had a symbol of their own, far from all others: 8 bits a value and more.
  EXPECT_LT(trip.record.size() + size_t{constant} * kGeometry.chunk_tokens / 8, before);
  EXPECT_NEAR(trip.at(trip.back, trip.index(0, 7, 3)), 42.0f, 0.3f);
}

TEST(Spread, ConstantsAndHugeValuesComeBack) {
  Trip trip;
  trip.shape.first_position = 256;
  for (uint32_t t = 0; t < kGeometry.chunk_tokens; ++t) trip.set(trip.index(0, t, 5), 42.0f);
  trip.set(trip.index(3, 7, 7), NAN);
  trip.set(trip.index(2, 9, 9), 1e30f);
  ASSERT_TRUE(trip.run());
  EXPECT_NEAR(trip.at(trip.back, trip.index(0, 100, 5)), 42.0f, 0.3f);
  EXPECT_TRUE(std::isnan(trip.at(trip.back, trip.index(3, 7, 7))));
  EXPECT_EQ(trip.at(trip.back, trip.index(2, 9, 9)), trip.at(trip.values, trip.index(2, 9, 9)));
  EXPECT_EQ(trip.view.frame(trip.view.frame_count() - 1).entry.quantizer,
            static_cast<uint8_t>(QuantizerId::kRaw));
}

}  // namespace
}  // namespace shadowserve
