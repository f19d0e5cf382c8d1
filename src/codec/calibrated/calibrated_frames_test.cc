// Whole trips of calibrated parts, what is kept on them, and records that do not fit the reader.
#include "codec/calibrated/calibrated_frames.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "codec/calibrated/sample_calibration.h"
#include "codec/codec.h"
#include "codec/element.h"
#include "codec/kv_sample.h"

namespace shadowserve {
namespace {

constexpr ChunkKey kKey{std::byte{1}};
constexpr ChunkKey kSeal{std::byte{2}};
const KvGeometry kGeometry{2, 2, 64, 256, ElementType::kBf16};

struct Trip {
  PartShape shape;
  std::shared_ptr<const CalibratedModel> model;
  std::vector<std::byte> values, record, back;

  Trip(const KvGeometry& geometry, uint32_t position, const char* point = "balanced")
      : shape(part_shape(geometry, 0)), record(kRecordBytesMax) {
    shape.first_position = position;
    std::string message;
    const KeyRotation rotation = sample_rotation(geometry.head_dim, RotationPairing::kHalves);
    auto made = CalibratedModel::make(sample_calibration(geometry, rotation, 5), point, geometry, message);
    EXPECT_TRUE(made) << message;
    model = *made;
    back.resize(shape.value_bytes());
    values.resize(shape.value_bytes());
    std::mt19937 random(7);
    for (size_t i = 0; i < shape.values(); ++i) set(i, (static_cast<float>(random() % 4096) - 2048) / 1024);
  }
  void set(size_t index, float value) {
    const uint16_t bits = element::from_float(value, shape.geometry.element);
    std::memcpy(values.data() + 2 * index, &bits, 2);
  }
  static float value_at(std::span<const std::byte> from, size_t index) {
    uint16_t bits;
    std::memcpy(&bits, from.data() + 2 * index, 2);
    return element::from_bf16(bits);
  }
  Result<size_t> encode() {
    const Profile profile{ProfileId::kBalanced, std::nullopt, model.get()};
    record.resize(kRecordBytesMax);
    auto size = encode_part(profile, shape, kKey, SealKind::kXxh3, kSeal, values, record);
    if (size) record.resize(*size);
    return size;
  }
  Result<void> decode() { return decode_part(record, shape, kKey, kSeal, back, model.get()); }
};

TEST(CalibratedFrames, ValuesComeBackToHalfAStep) {
  for (const KvGeometry& geometry : {kGeometry, KvGeometry{1, 8, 128, 256, ElementType::kBf16},
                                     KvGeometry{1, 16, 128, 160, ElementType::kBf16}}) {
    Trip trip(geometry, 512);
    ASSERT_TRUE(trip.encode());
    ASSERT_TRUE(trip.decode());
    const uint32_t channels = geometry.channels();
    size_t far_off = 0;
    for (size_t i = 0; i < trip.shape.values(); ++i) {
      const auto& plane = trip.model->plane(static_cast<uint32_t>(i / geometry.plane_values()));
      const size_t channel = i % channels, dim = channel % geometry.head_dim;
      const size_t partner =
          dim < geometry.head_dim / 2 ? channel + geometry.head_dim / 2 : channel - geometry.head_dim / 2;
      // A key's error is that of both of its pair, turned.
      const float step =
          plane.turns ? std::hypot(plane.steps[channel], plane.steps[partner]) : plane.steps[channel];
      far_off += std::abs(Trip::value_at(trip.values, i) - Trip::value_at(trip.back, i)) > step / 2 + 0.02f;
    }
    EXPECT_EQ(far_off, 0u);
    EXPECT_LT(trip.record.size(), trip.shape.value_bytes() / 4);
  }
}

TEST(CalibratedFrames, TheFirstTokenOfASequenceIsKeptExactly) {
  for (const uint32_t position : {0u, 256u}) {
    Trip trip(kGeometry, position);
    ASSERT_TRUE(trip.encode());
    ASSERT_TRUE(trip.decode());
    bool exact = true;
    for (uint32_t plane = 0; plane < 4; ++plane) {
      const size_t at = plane * kGeometry.plane_bytes();
      exact &= std::memcmp(trip.values.data() + at, trip.back.data() + at, 2 * kGeometry.channels()) == 0;
    }
    EXPECT_EQ(exact, position == 0);
  }
}

TEST(CalibratedFrames, TokensWithKeysLikeTheSinkKeyAreKeptInEightBits) {
  Trip trip(kGeometry, 1024);
  constexpr uint32_t kSink = 77;
  const CalibratedPlane& plane = trip.model->plane(0);
  Turn chunk, turn;
  plane.turns->at_chunk(1024, chunk);
  plane.turns->at_token(chunk, kSink, turn);
  const uint32_t pairs = kGeometry.head_dim / 2;
  for (uint32_t channel = 0; channel < kGeometry.channels();
       ++channel) {  // far out, along the sink key, rotated
    const uint32_t dim = channel % kGeometry.head_dim, pair = dim % pairs, first = channel - dim + pair;
    const float a = plane.sink_key[first] * 500, b = plane.sink_key[first + pairs] * 500;
    const float turned =
        dim < pairs ? a * turn.cos[pair] - b * turn.sin[pair] : b * turn.cos[pair] + a * turn.sin[pair];
    trip.set(kSink * kGeometry.channels() + channel, turned);
  }
  ASSERT_TRUE(trip.encode());
  ASSERT_TRUE(trip.decode());
  RecordView view;
  ASSERT_TRUE(open_record(trip.record, trip.shape, kKey, kSeal, view));
  EXPECT_EQ(view.frame(0).kept.head.int8_rows, 2);
  EXPECT_EQ(view.frame(1).kept.head.int8_rows, 2);
  uint16_t tokens[2];
  std::memcpy(tokens, view.frame(0).kept.int8_tokens, sizeof tokens);
  EXPECT_TRUE(tokens[0] == kSink || tokens[1] == kSink);
  for (uint32_t channel = 0; channel < kGeometry.channels(); ++channel) {
    const size_t at = kSink * kGeometry.channels() + channel;
    EXPECT_NEAR(Trip::value_at(trip.values, at), Trip::value_at(trip.back, at), 1.0f);
  }
}

TEST(CalibratedFrames, WideValuesAndTheirPartnersArePatched) {
  Trip trip(kGeometry, 256);
  const size_t wide = 9 * kGeometry.channels() + 5, partner = wide + kGeometry.head_dim / 2;
  trip.set(wide, 3000.0f);
  trip.set(kGeometry.plane_values() + wide, -5000.0f);  // a value: nothing turns with it
  ASSERT_TRUE(trip.encode());
  ASSERT_TRUE(trip.decode());
  for (const size_t at : {wide, partner, kGeometry.plane_values() + wide})
    EXPECT_EQ(std::memcmp(trip.values.data() + 2 * at, trip.back.data() + 2 * at, 2), 0) << at;
  RecordView view;
  ASSERT_TRUE(open_record(trip.record, trip.shape, kKey, kSeal, view));
  EXPECT_GE(view.frame(0).kept.head.patches, 2u);
  EXPECT_GE(view.frame(1).kept.head.patches, 1u);
}

TEST(CalibratedFrames, LayersThatDoNotFitAreKeptRaw) {
  Trip trip(kGeometry, 0);
  trip.set(kGeometry.plane_values() + 100, INFINITY);
  for (size_t i = 2 * kGeometry.plane_values(); i < 3 * kGeometry.plane_values(); ++i)
    trip.set(i, i % 2 == 0 ? 1e6f : -1e6f);
  ASSERT_TRUE(trip.encode());
  ASSERT_TRUE(trip.decode());
  EXPECT_EQ(trip.values, trip.back);
}

TEST(CalibratedFrames, ReadersWithoutThePositionOrTheModelRefuse) {
  Trip trip(kGeometry, 256);
  ASSERT_TRUE(trip.encode());
  ASSERT_TRUE(trip.decode());  // negative control: nothing wrong yet
  EXPECT_EQ(decode_part(trip.record, trip.shape, kKey, kSeal, trip.back).error(), Error::kUnsupported);
  const Trip other(KvGeometry{2, 4, 32, 256, ElementType::kBf16}, 256);
  EXPECT_EQ(decode_part(trip.record, trip.shape, kKey, kSeal, trip.back, other.model.get()).error(),
            Error::kUnsupported);
  trip.shape.first_position = 512;
  EXPECT_EQ(trip.decode().error(), Error::kRecordMalformed);
  RecordView view;
  EXPECT_TRUE(describe_record(trip.record, view));
  EXPECT_EQ(view.shape().first_position, 256u);
}

TEST(CalibratedFrames, WithoutAModelNothingIsCoded) {
  Trip trip(kGeometry, 0);
  const Profile profile{ProfileId::kNear, std::nullopt, nullptr};
  EXPECT_EQ(encode_part(profile, trip.shape, kKey, SealKind::kXxh3, kSeal, trip.values, trip.record).error(),
            Error::kConfig);
}

TEST(CalibratedFrames, FinerPointsAreBetterAndLarger) {
  double last_error = 1e9;
  size_t last_size = 0;
  for (const char* point : {"far", "balanced", "near"}) {
    Trip trip(kGeometry, 256, point);
    ASSERT_TRUE(trip.encode());
    ASSERT_TRUE(trip.decode());
    double error = 0;
    for (size_t i = 0; i < trip.shape.values(); ++i)
      error += std::pow(Trip::value_at(trip.values, i) - Trip::value_at(trip.back, i), 2);
    EXPECT_LT(error, last_error) << point;
    EXPECT_GT(trip.record.size(), last_size) << point;
    last_error = error;
    last_size = trip.record.size();
  }
}

TEST(CalibratedFrames, ChoosesTheHighestCosines) {
  const std::vector<float> cosines = {0.9f, 0.1f, 0.8f, -0.5f, 0.85f, 0.2f};
  LayerKept kept;
  choose_kept(cosines, 0, 2, kept);
  ASSERT_EQ(kept.exact_count, 1u);
  ASSERT_EQ(kept.int8_count, 2u);
  EXPECT_EQ(kept.int8[0], 2);
  EXPECT_EQ(kept.int8[1], 4);
  choose_kept(cosines, 256, 3, kept);
  EXPECT_EQ(kept.exact_count, 0u);
  EXPECT_EQ(std::vector<uint16_t>(kept.int8, kept.int8 + 3), (std::vector<uint16_t>{0, 2, 4}));
  choose_kept(cosines, 0, 100, kept);
  EXPECT_EQ(kept.int8_count, 5u);
}

}  // namespace
}  // namespace shadowserve
