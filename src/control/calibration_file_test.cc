// Calibrations as engines read them: good ones whole, damaged and foreign ones refused by name.
#include "control/calibration_file.h"

#include <cstring>

#include "control/test_calibration.h"

namespace shadowserve {
namespace {

constexpr KvGeometry kGeometry{2, 2, 16, 64, ElementType::kBf16};

KeySpace space_of(const KvGeometry& geometry, uint32_t shard = 0, uint32_t shards = 1) {
  KeySpace space;
  space.geometry = geometry;
  space.shard = shard;
  space.shard_count = shards;
  return space;
}

/// What is said of a file with these bytes, without its path; empty: it was taken.
std::string refusal(const std::string& bytes, const KvGeometry& geometry = kGeometry, uint32_t shards = 1) {
  const TestCalibrationFile file(bytes);
  std::string message;
  const auto read = read_calibration_file(file.path(), space_of(geometry, 0, shards), message);
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
  const auto read = read_calibration_file(file.path(), space_of(kGeometry), message);
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

std::string shard_of_golden(uint32_t shard, uint32_t shards, uint32_t heads_each) {
  KvGeometry geometry = kGeometry;
  geometry.kv_heads = heads_each;
  const std::string golden = golden_calibration();
  std::string message;
  const auto taken = take_calibration(std::as_bytes(std::span(golden)), "golden",
                                      space_of(geometry, shard, shards), message);
  EXPECT_TRUE(taken) << message;
  if (!taken) return {};
  // Whatever the shard, keys name the model's calibration.
  EXPECT_EQ(std::memcmp((*taken)->hash.data(), golden.data() + golden.size() - 32, 32), 0);
  const auto bytes = (*taken)->bytes.read().value();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(CalibrationFile, AShardHasTheCalibrationOfItsHeads) {
  // 2 layers of 2 heads x 16: what is said of single channels begins where 11 bytes for each of them are
  // left.
  const std::string golden = golden_calibration();
  constexpr size_t kChannels = 2 * 16, kDim = 16, kPerChannel = 11;
  const size_t channels_at = golden.size() - 32 - 2 * kChannels * kPerChannel;
  for (const uint32_t shard : {0u, 1u}) {
    const std::string own = shard_of_golden(shard, 2, 1);
    ASSERT_EQ(own.size(), golden.size() - 2 * kDim * kPerChannel);
    EXPECT_EQ(sealed_calibration(own), own);
    EXPECT_EQ(own[20], 1) << "heads";
    EXPECT_EQ(own.substr(24, channels_at - 24), golden.substr(24, channels_at - 24));
    size_t from = channels_at, at = channels_at;
    for (const auto& [rows, size] : {std::pair(4, 1), {4, 2}, {4, 2}, {2, 1}}) {
      for (int row = 0; row < rows; ++row, from += kChannels * size, at += kDim * size) {
        EXPECT_EQ(own.substr(at, kDim * size), golden.substr(from + shard * kDim * size, kDim * size)) << at;
      }
    }
    EXPECT_EQ(at + 32, own.size());
  }
  // More shards than heads: the first two hold the first head.
  EXPECT_EQ(shard_of_golden(0, 4, 1), shard_of_golden(0, 2, 1));
  EXPECT_EQ(shard_of_golden(1, 4, 1), shard_of_golden(0, 2, 1));
  EXPECT_EQ(shard_of_golden(2, 4, 1), shard_of_golden(1, 2, 1));
  EXPECT_NE(shard_of_golden(0, 2, 1), shard_of_golden(1, 2, 1)) << "negative control: heads differ";
}

TEST(CalibrationFile, ShardsThatDoNotFitAreRefused) {
  KvGeometry one = kGeometry;
  one.kv_heads = 1;
  EXPECT_EQ(refusal(golden_calibration(), one, 2), "") << "negative control";
  EXPECT_EQ(
      refusal(golden_calibration(), kGeometry, 2),
      "is for 2 layers of 2 heads x 16 in bf16, the engine has 2 layers of 2 heads x 16 in bf16 in each of 2 "
      "shards");
  EXPECT_NE(refusal(golden_calibration(), one, 3), "");
  // A claim of more channels than there are bytes, under a hash that fits.
  std::string claims = golden_calibration();
  claims[25] = 1;  // heads of 16 + 256
  KvGeometry wide = one;
  wide.head_dim = 16 + 256;
  EXPECT_EQ(refusal(sealed_calibration(claims), wide, 2), "is damaged: it has fewer channels than it says");
}

TEST(CalibrationFile, WhatIsNoFileIsSaid) {
  std::string message;
  EXPECT_EQ(read_calibration_file("/nowhere/x.cal", space_of(kGeometry), message).error(), Error::kConfig);
  EXPECT_EQ(message, "calibration /nowhere/x.cal cannot be read: No such file or directory");
  EXPECT_EQ(read_calibration_file("/tmp", space_of(kGeometry), message).error(), Error::kConfig);
  EXPECT_EQ(message, "calibration /tmp cannot be read: Is a directory");
}

TEST(CalibrationFile, OtherWeightsAreRefusedNamingBoth) {
  const TestCalibrationFile file(golden_calibration());
  std::string message;
  const auto read = read_calibration_file(file.path(), space_of(kGeometry), message);
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
