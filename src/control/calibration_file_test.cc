// Calibrations as engines read them: good ones whole, damaged and foreign ones refused by name.
#include "control/calibration_file.h"

#include <cstring>

#include "control/test_calibration.h"

namespace shadowserve {
namespace {

constexpr KvGeometry kGeometry{2, 2, 16, 64, ElementType::kBf16};

/// What is said of a file with these bytes, without its path; empty: it was taken.
std::string refusal(const std::string& bytes, const KvGeometry& geometry = kGeometry) {
  const TestCalibrationFile file(bytes);
  std::string message;
  const auto read = read_calibration_file(file.path(), geometry, message);
  EXPECT_EQ(read.has_value(), message.empty());
  if (read) return {};
  const std::string begins = "calibration " + file.path() + " ";
  EXPECT_EQ(message.substr(0, begins.size()), begins);
  return message.substr(begins.size());
}

TEST(CalibrationFile, IsReadWholeAndNamed) {
  const std::string bytes = golden_calibration();
  const TestCalibrationFile file(bytes);
  std::string message;
  const auto read = read_calibration_file(file.path(), kGeometry, message);
  ASSERT_TRUE(read) << message;
  const auto sealed = (*read)->bytes.read().value();
  ASSERT_EQ(sealed.size(), bytes.size());
  EXPECT_EQ(std::memcmp(sealed.data(), bytes.data(), bytes.size()), 0);
  EXPECT_EQ(std::memcmp((*read)->hash.data(), bytes.data() + bytes.size() - 32, 32), 0);
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ((*read)->fingerprint[i], static_cast<std::byte>(i));
}

TEST(CalibrationFile, EveryFlippedByteIsSeen) {
  const std::string golden = golden_calibration();
  for (size_t at = 0; at < golden.size(); at += at < 100 ? 1 : 37) {
    std::string bytes = golden;
    bytes[at] ^= 0x10;
    const std::string said = refusal(bytes);
    EXPECT_NE(said, "") << at;
    if (at >= 16) {
      EXPECT_EQ(said, "is damaged: its SHA-256 does not fit") << at;
    }
  }
}

TEST(CalibrationFile, DamageAndStrangersAreNamed) {
  const std::string golden = golden_calibration();
  EXPECT_EQ(refusal(golden), "") << "negative control";
  EXPECT_EQ(refusal(""), "is no calibration file");
  EXPECT_EQ(refusal("a text"), "is no calibration file");
  EXPECT_EQ(refusal(golden.substr(0, 99)), "is no calibration file");
  EXPECT_EQ(refusal(golden.substr(0, 1000)), "is damaged: it says it has 1270 bytes and has 1000");
  EXPECT_EQ(refusal(golden + "x"), "is damaged: it says it has 1270 bytes and has 1271");
  EXPECT_EQ(refusal(golden + std::string(3 << 20, 'x')),
            "has more than the 2097152 bytes a calibration can have");
  std::string future = golden;
  future[8] = 2;
  EXPECT_EQ(refusal(sealed_calibration(future)), "is of version 2, this build reads version 1");
  EXPECT_EQ(refusal(golden, {2, 4, 16, 64, ElementType::kBf16}),
            "is for 2 layers of 2 heads x 16 in bf16, the engine has 2 layers of 4 heads x 16 in bf16");
  EXPECT_NE(refusal(golden, {2, 2, 16, 64, ElementType::kFp16}), "");
  EXPECT_EQ(refusal(golden, {2, 2, 16, 256, ElementType::kBf16}), "") << "a chunk's tokens do not matter";
}

TEST(CalibrationFile, WhatIsNoFileIsSaid) {
  std::string message;
  EXPECT_EQ(read_calibration_file("/nowhere/x.cal", kGeometry, message).error(), Error::kConfig);
  EXPECT_EQ(message, "calibration /nowhere/x.cal cannot be read: No such file or directory");
  EXPECT_EQ(read_calibration_file("/tmp", kGeometry, message).error(), Error::kConfig);
  EXPECT_EQ(message, "calibration /tmp cannot be read: Is a directory");
}

TEST(CalibrationFile, OtherWeightsAreRefusedNamingBoth) {
  const TestCalibrationFile file(golden_calibration());
  std::string message;
  const auto read = read_calibration_file(file.path(), kGeometry, message);
  ASSERT_TRUE(read) << message;
  const std::string own = to_hex((*read)->fingerprint), other(64, 'a');
  EXPECT_TRUE(check_weights(**read, "x.cal", own, message));
  EXPECT_EQ(check_weights(**read, "x.cal", other, message).error(), Error::kConfig);
  EXPECT_EQ(message,
            "calibration x.cal is for weights with fingerprint " + own + ", the engine's have " + other);
  EXPECT_FALSE(check_weights(**read, "x.cal", "my model", message));
  EXPECT_NE(message.find("my model, which is no 64 hexadecimal digits"), std::string::npos);
}

}  // namespace
}  // namespace shadowserve
