// Calibration files: the golden one reads to what its writer chose, as do others that are just allowed.
#include "codec/calibrated/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numbers>

#include "chunk/chunk_key.h"
#include "codec/calibrated/golden_calibration.h"
#include "codec/element.h"

namespace shadowserve {
namespace {

using namespace golden_calibration;  // the offsets of the file in hand
using testing::ElementsAre;
using testing::HasSubstr;

Calibration read_golden() {
  std::string message;
  const auto read = read_calibration(golden(), message);
  EXPECT_TRUE(read) << message;
  return read.value_or(Calibration{});
}

TEST(Calibration, GoldenHeaderPointsAndRotations) {
  const Calibration read = read_golden();
  EXPECT_EQ(read.layers, 2u);
  EXPECT_EQ(read.kv_heads, 2u);
  EXPECT_EQ(read.head_dim, 16u);
  EXPECT_EQ(read.channels(), 32u);
  EXPECT_EQ(read.element, ElementType::kBf16);
  EXPECT_EQ(read.tokens_a_sink, 16u);
  EXPECT_EQ(to_hex(read.fingerprint), "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  EXPECT_EQ(std::memcmp(read.hash.data(), golden().data() + kFileBytes - kHashBytes, kHashBytes), 0);

  ASSERT_EQ(read.points.size(), 3u);
  const CalibrationPoint expected[] = {
      {"near", 0.25f, 0x1p-10f}, {"balanced", 0.5f, 0x1p-7f}, {"far", 1.5f, 0x1p-4f}};
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(read.points[i].name, expected[i].name);
    EXPECT_EQ(read.points[i].scalar, expected[i].scalar);
    EXPECT_EQ(read.points[i].expected_kl, expected[i].expected_kl);
    EXPECT_EQ(find_point(read, expected[i].name), i);
  }
  for (const char* no : {"", "nea", "Near", "near "}) EXPECT_EQ(find_point(read, no), std::nullopt) << no;

  ASSERT_EQ(read.rotations.size(), 2u);
  EXPECT_EQ(read.rotations[0].pairing, RotationPairing::kHalves);
  EXPECT_EQ(read.rotations[0].rotary_dim, 8u);
  EXPECT_THAT(read.rotations[0].frequencies, ElementsAre(1.f, 0.25f, 0.0625f, 0.015625f));
  EXPECT_EQ(read.rotations[1].pairing, RotationPairing::kNeighbours);
  EXPECT_EQ(read.rotations[1].rotary_dim, 16u);
  EXPECT_THAT(read.rotations[1].frequencies,
              ElementsAre(3.f, -1.5f, 0.75f, 0.375f, 0.1875f, 0.09375f, 0.046875f, 0.0234375f));
  EXPECT_THAT(read.layer_rotation, ElementsAre(0, 1));
}

TEST(Calibration, GoldenTablesAndPlanes) {
  const Calibration read = read_golden();
  RansTable wide{113, 32, true, {}};
  wide.frequency.fill(4);
  EXPECT_THAT(read.tables,
              ElementsAre(RansTable{128, 2, true, {127, 1}}, RansTable{127, 4, true, {24, 79, 24, 1}},
                          RansTable{125, 8, true, {6, 16, 24, 35, 24, 16, 6, 1}}, wide));
  ASSERT_EQ(read.class_tables.size(), 2u * 2 * 3 * kCalibrationClassesMax);
  for (size_t i = 0; i < read.class_tables.size(); ++i) {
    const size_t number = i % kCalibrationClassesMax, point = i / kCalibrationClassesMax % 3;
    EXPECT_EQ(read.class_tables[i], number < 3 ? (number + 2 - point) % 4 : kNoTable) << i;
  }
  ASSERT_EQ(read.classes.size(), 128u);
  ASSERT_EQ(read.base_steps.size(), 128u);
  ASSERT_EQ(read.means.size(), 128u);
  for (int i = 0; i < 128; ++i) {
    const auto at = static_cast<size_t>(i);
    EXPECT_EQ(read.classes[at], i * 5 % 3) << i;
    EXPECT_EQ(element::from_bf16(read.base_steps[at]), static_cast<float>(128 + i) / 1024) << i;
    EXPECT_EQ(element::from_bf16(read.means[at]), static_cast<float>(i - 64) / 16) << i;
  }
  ASSERT_EQ(read.sink_keys.size(), 64u);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(read.sink_keys[static_cast<size_t>(i)], i * 7 % 255 - 127) << i;
}

TEST(Calibration, WhatIsJustAllowed) {
  struct Allowed {
    size_t at;
    std::string bytes;
    const char* what;
  };
  const std::vector<Allowed> allowed = {
      {28, u8(2), "fp16"},
      {34, u16(2), "half of the tokens kept"},
      {34, u16(65535), "hardly any kept"},
      {36, u32(0xffffffff), "another model"},
      {kPointAt, "ABCXYZabcxyz0189", "a name without a NUL"},
      {kPointAt + 20, f32(0), "nothing is lost"},
      {kPartialAt, u8(2), "neighbours in part of a head"},
      {kPartialAt + 4, f32(std::numbers::pi_v<float>), "half a circle"},
      {kPartialAt + 4, f32(-std::numbers::pi_v<float>), "half a circle, backwards"},
      {kLayerRotationAt, u16(0xffff), "keys that are not rotated"},
      {kTableAt + 3 * kTableBytes, u8(225), "symbols up to 255"},
      {kClassTablesAt + 15, u8(3), "a class without channels"},
      {kBaseStepsAt, u16(0x0003), "near is 0.75 of the least bf16 and rounds to it"},
      {kBaseStepsAt, u16(0x7aaa), "far is the largest below 2^119"},
      {kMeansAt, u16(0x7aff), "the largest mean"},
      {kMeansAt, u16(0xfaff), "the least mean"},
      {kMeansAt, u16(0x8000), "a negative zero"},
      {kSinkKeysAt, u8(0x80), "all bytes are a direction"},
  };
  for (const auto& [at, bytes, what] : allowed) {
    EXPECT_EQ(refusal_with(at, bytes), "") << what;
  }
}

TEST(Calibration, IsForOneModel) {
  const Calibration read = read_golden();
  const std::string own = to_hex(read.fingerprint), other = to_hex(read.hash);
  const KvGeometry engine{2, 2, 16, 256, ElementType::kBf16};
  const auto said = [&read](const KvGeometry& geometry, std::string_view fingerprint) {
    std::string message;
    const auto checked = check_calibration_for(read, geometry, message, fingerprint);
    EXPECT_TRUE(checked || checked.error() == Error::kConfig);
    EXPECT_EQ(checked.has_value(), message.empty());
    return message;
  };
  std::string message;
  EXPECT_TRUE(check_calibration_for(read, engine, message)) << message;
  EXPECT_EQ(said(engine, own), "");
  EXPECT_EQ(said({2, 2, 16, 64, ElementType::kBf16}, own), "") << "chunks may have any length";
  EXPECT_EQ(said(engine, other), "is for the model with fingerprint " + own + ", the engine's is " + other);
  EXPECT_THAT(said(engine, own.substr(1)), HasSubstr("which is no 64 hexadecimal digits"));
  EXPECT_EQ(said({26, 1, 256, 256, ElementType::kBf16}, ""),
            "is for 2 layers of 2 heads x 16 in bf16, the engine has 26 layers of 1 heads x 256 in bf16");
  EXPECT_THAT(said({3, 2, 16, 256, ElementType::kBf16}, own), HasSubstr("3 layers"));
  EXPECT_THAT(said({2, 4, 8, 256, ElementType::kBf16}, own), HasSubstr("4 heads x 8")) << "as many channels";
  EXPECT_THAT(said({2, 2, 16, 256, ElementType::kFp16}, own), HasSubstr("in fp16"));
  EXPECT_THAT(said({3, 2, 16, 256, ElementType::kBf16}, other), HasSubstr("fingerprint"))
      << "which comes first";
}

}  // namespace
}  // namespace shadowserve
