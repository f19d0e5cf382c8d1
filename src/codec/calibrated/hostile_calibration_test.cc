// Calibration files that lie: with any one rule broken they are refused, and the rule is named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "codec/calibrated/golden_calibration.h"
#include "codec/element.h"

namespace shadowserve {
namespace {

using namespace golden_calibration;  // the offsets of the file in hand
using testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(HostileCalibration, EveryFlippedBitIsRefused) {
  Bytes file = golden();
  ASSERT_EQ(file.size(), kFileBytes);
  EXPECT_EQ(refusal(file), "");
  for (size_t bit = 0; bit < file.size() * 8; ++bit) {
    const std::byte flip{static_cast<uint8_t>(1u << bit % 8)};
    file[bit / 8] ^= flip;
    ASSERT_NE(refusal(file), "") << "bit " << bit;
    file[bit / 8] ^= flip;
  }
  EXPECT_EQ(refusal(file), "") << "all bits are as they were";
}

TEST(HostileCalibration, EveryTruncationIsRefused) {
  const Bytes file = golden();
  for (size_t size = 0; size < file.size(); ++size) {
    Bytes shorter(file.begin(), file.begin() + static_cast<ptrdiff_t>(size));  // exactly: for sanitizers
    ASSERT_NE(refusal(shorter), "") << size;
    if (size < 68 + kHashBytes) continue;
    shorter = sealed(shorter);
    ASSERT_NE(refusal(shorter), "") << size << " with a hash that fits";
  }
  EXPECT_THAT(refusal({file.begin(), file.end() - 1}), HasSubstr("says it has 1270 bytes and has 1269"));
}

struct Broken {
  size_t at;
  std::string bytes;
  const char* says;
};

void expect_refused(const std::vector<Broken>& all) {
  for (const Broken& broken : all) {
    EXPECT_THAT(refusal_with(broken.at, broken.bytes), HasSubstr(broken.says))
        << testing::PrintToString(broken.bytes) << " at " << broken.at;
  }
}

TEST(HostileCalibration, BrokenHeaders) {
  expect_refused({
      {0, "SSKVREC\n", "is no calibration file"},
      {8, u16(2), "is a calibration of version 2, this build reads version 1"},
      {8, u16(0), "version 0"},
      {10, u16(0x8000), "flags this build does not know (0x8000)"},
      {16, u32(0), "has layers 0: it must be 1 to 1024"},
      {16, u32(1025), "layers 1025"},
      {20, u32(0), "kv_heads 0"},
      {20, u32(0xffffffff), "kv_heads 4294967295"},
      {24, u32(0), "head_dim 0"},
      {24, u32(1025), "head_dim 1025"},
      {28, u8(0), "element 0"},
      {28, u8(3), "element 3"},
      {29, u8(0), "points 0"},
      {29, u8(9), "points 9"},
      {30, u8(9), "rotations 9"},
      {31, u8(15), "has classes_max 15: it must be 16"},
      {31, u8(17), "classes_max 17"},
      {32, u16(0), "tables 0"},
      {32, u16(256), "tables 256"},
      {34, u16(0), "tokens_a_sink 0"},
      {34, u16(1), "tokens_a_sink 1"},
  });
}

TEST(HostileCalibration, BrokenPoints) {
  constexpr size_t kScalarAt = kPointAt + 16, kExpectedAt = kPointAt + 20;
  expect_refused({
      {kPointAt, name16(""), "no name of letters and digits for point 0"},
      {kPointAt, name16("ne r"), "no name"},
      {kPointAt, name16("ne-r"), "no name"},
      {kPointAt, name16("n\xc3\xa9t"), "no name"},
      {kPointAt, name16(std::string("n\0ar", 4)), "no name"},
      {kPointAt, name16(std::string("\0near", 5)), "no name"},
      {kPointAt + kPointBytes, name16("near"), "two points named near"},
      {kScalarAt, f32(0), "scalar"},
      {kScalarAt, f32(-0.25f), "scalar that is no number above 0 and below 1e30 at point near"},
      {kScalarAt, f32(kNan), "scalar"},
      {kScalarAt, f32(kInfinity), "scalar"},
      {kScalarAt, f32(1e30f), "scalar"},
      {kExpectedAt, f32(-1), "expected_kl"},
      {kExpectedAt, f32(kNan), "expected_kl"},
      {kExpectedAt, f32(kInfinity), "expected_kl"},
  });
}

TEST(HostileCalibration, BrokenRotations) {
  constexpr size_t kFrequencyAt = kPairsAt + 4;
  expect_refused({
      {kPartialAt, u8(0), "paired in the unknown way 0 in rotation 0"},
      {kPairsAt, u8(3), "paired in the unknown way 3 in rotation 1"},
      {kPartialAt + 1, u8(1), "reserved byte that is not 0 in rotation 0"},
      {kPartialAt + 2, u16(0), "0 of 16 dims turned by rotation 0"},
      {kPartialAt + 2, u16(7), "7 of 16 dims"},
      {kPairsAt + 2, u16(18), "18 of 16 dims"},
      {kFrequencyAt, f32(std::nextafter(std::numbers::pi_v<float>, 4.f)), "half a circle"},
      {kFrequencyAt, f32(-4), "half a circle a position in rotation 1"},
      {kFrequencyAt, f32(kNan), "half a circle"},
      {kFrequencyAt, f32(-kInfinity), "half a circle"},
      {kLayerRotationAt, u8(2), "a layer with rotation 2 of 2"},
      {kLayerRotationAt + 1, u8(254), "a layer with rotation 254 of 2"},
  });
}

TEST(HostileCalibration, BrokenTables) {
  constexpr size_t kWideAt = kTableAt + 3 * kTableBytes;
  expect_refused({
      {kTableAt + 1, u8(0), "0 entries in table 0"},
      {kTableAt + 1, u8(1), "1 entries in table 0"},
      {kWideAt + 1, u8(33), "33 entries in table 3"},
      {kTableAt + 2, u8(1), "reserved bytes that are not 0 in table 0"},
      {kTableAt + 3, u8(1), "reserved bytes that are not 0 in table 0"},
      {kWideAt, u8(226), "symbols beyond 255 in table 3"},
      {kTableAt + 4, u8(126) + u8(1), "no table"},
      {kTableAt + 4, u8(127) + u8(2), "no table"},
      {kTableAt + 4, u8(0) + u8(128), "no table"},
      {kTableAt + 4, u8(255) + u8(129), "no table"},
      {kTableAt + 4, u8(126) + u8(1) + u8(1), "no table"},
      {kTableAt + kTableBytes + 4, u8(24) + u8(80) + u8(24) + u8(0),
       "no table with an escape of 128 slots in table 1"},
  });
}

TEST(HostileCalibration, BrokenPlanes) {
  constexpr size_t kFarOfLastPlane = kClassTablesAt + (3 * 3 + 2) * kCalibrationClassesMax;
  expect_refused({
      {kClassTablesAt, u8(4), "a class with table 4 of 4"},
      {kClassTablesAt + 15, u8(254), "a class with table 254 of 4"},
      {kClassTablesAt, u8(kNoTable), "a channel of class 0, which has no table"},  // at the first point alone
      {kFarOfLastPlane + 1, u8(kNoTable), "a channel of class 1, which has no table"},
      {kClassesAt, u8(16), "a channel of class 16: there are 16"},
      {kClassesAt + 127, u8(255), "a channel of class 255"},
      {kClassesAt + 127, u8(3), "a channel of class 3, which has no table"},
      {kBaseStepsAt, u16(0), "a base step"},
      {kBaseStepsAt, u16(0x8000), "a base step"},
      {kBaseStepsAt + 2, u16(0xbe00), "a base step that is no number above 0"},
      {kBaseStepsAt + 254, u16(0x7b00), "a base step"},
      {kBaseStepsAt, u16(0x7f80), "a base step"},
      {kBaseStepsAt, u16(0x7fc0), "a base step"},
      {kBaseStepsAt, u16(0x0001), "a step of 0, or of 2^119 and more, at point near"},
      {kBaseStepsAt, u16(0x0002), "at point near"},  // half of the least bf16: ties to even
      {kBaseStepsAt + 254, u16(0x7aab), "at point far"},
      {kMeansAt, u16(0x7b00), "a mean"},
      {kMeansAt + 254, u16(0xfb00), "a mean"},
      {kMeansAt, u16(0x7f80), "a mean"},
      {kMeansAt, u16(0xffc0), "a mean that is no number below 2^119"},
  });
}

/// The product is below 2^119; as a bf16 it is not.
TEST(HostileCalibration, StepsAreCheckedAsTheyAreUsed) {
  constexpr size_t kFarScalarAt = kPointAt + 2 * kPointBytes + 16;
  Bytes file = golden();
  put(file, kBaseStepsAt, u16(0x7aff));
  put(file, kFarScalarAt, f32(1.0f));
  EXPECT_EQ(refusal(sealed(file)), "");
  put(file, kFarScalarAt, f32(1.003f));
  ASSERT_LT(1.003f * element::from_bf16(0x7aff), 0x1p119f);
  EXPECT_THAT(refusal(sealed(file)), HasSubstr("at point far"));
  put(file, kFarScalarAt, f32(9e29f));
  EXPECT_THAT(refusal(sealed(file)), HasSubstr("at point far")) << "an infinite product";
}

TEST(HostileCalibration, SizesThatLie) {
  Bytes file = golden();
  file.push_back({});
  EXPECT_THAT(refusal(file), HasSubstr("says it has 1270 bytes and has 1271"));
  EXPECT_THAT(refusal(sealed(file)), HasSubstr("has bytes behind its end"));
  file.resize(kFileBytes - 1);
  EXPECT_THAT(refusal(sealed(file)), HasSubstr("ends before its tables do"));
  file.resize(kCalibrationBytesMax);
  EXPECT_THAT(refusal(sealed(file)), HasSubstr("has bytes behind its end"));
  file.resize(kCalibrationBytesMax + 1);
  EXPECT_THAT(refusal(sealed(file)), HasSubstr("more than the 2097152 bytes"));
  // Millions of channels are claimed, and refused before anything is allocated for them.
  EXPECT_THAT(refusal_with(20, u32(1024) + u32(1024)), HasSubstr("ends before its tables do"));
  for (const Bytes& foreign : {Bytes{}, Bytes(7), Bytes(500)}) {
    EXPECT_EQ(refusal(foreign), "is no calibration file");
  }
  file = golden();
  file.resize(68 + kHashBytes - 1);
  EXPECT_EQ(refusal(file), "is no calibration file");
}

/// Every file is wrong in all that those before it are, and in something that is looked at earlier.
TEST(HostileCalibration, TheFirstBrokenRuleIsNamed) {
  Bytes file = golden();
  put(file, kClassesAt, u8(16));
  put(file, kPartialAt, u8(0));
  EXPECT_THAT(refusal(sealed(file)), HasSubstr("paired"));
  put(file, 16, u32(0));
  EXPECT_THAT(refusal(sealed(file)), HasSubstr("layers 0"));
  put(file, 10, u16(1));
  EXPECT_THAT(refusal(sealed(file)), HasSubstr("flags"));
  EXPECT_EQ(refusal(file), "is damaged: its SHA-256 does not fit");
  put(file, 12, u32(5));
  EXPECT_THAT(refusal(file), HasSubstr("says it has 5 bytes"));
  put(file, 8, u16(7));
  EXPECT_THAT(refusal(file), HasSubstr("version 7"));
  put(file, 0, "{");
  EXPECT_THAT(refusal(file), HasSubstr("no calibration file"));
}

}  // namespace
}  // namespace shadowserve
