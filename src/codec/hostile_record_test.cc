// Records that lie: whatever the bytes say, opening and decoding them ends in an answer, never in a fault.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "codec/codec.h"
#include "codec/kv_sample.h"

namespace shadowserve {
namespace {

constexpr ChunkKey kKey{std::byte{1}};
constexpr ChunkKey kSeal{std::byte{2}};
const char* const kNames[] = {"raw",      "raw+zstd",        "int8", "int8+deflate", "kv4",
                              "kv4+none", "cachegen+deflate"};

std::vector<std::byte> make_record(const char* name, const PartShape& shape,
                                   SealKind kind = SealKind::kXxh3) {
  std::vector<std::byte> record(kRecordBytesMax);
  const auto size =
      encode_part(*profile_from_name(name), shape, kKey, kind, kSeal, kv_sample(shape, 9), record);
  record.resize(size.value());
  record.shrink_to_fit();
  return record;
}

TEST(HostileRecord, EveryBitFlipAndTruncationIsRefused) {
  const PartShape shape = part_shape({1, 1, 32, 16, ElementType::kBf16}, 0);
  std::vector<std::byte> values(shape.value_bytes());
  for (const char* name : kNames) {
    for (const SealKind kind : {SealKind::kXxh3, SealKind::kGmac}) {
      auto record = make_record(name, shape, kind);
      ASSERT_TRUE(decode_part(record, shape, kKey, kSeal, values));
      RecordView view;
      for (size_t bit = 0; bit < record.size() * 8; bit += bit < 2500 ? 1 : 7) {
        record[bit / 8] ^= std::byte{static_cast<uint8_t>(1u << bit % 8)};
        ASSERT_FALSE(open_record(record, shape, kKey, kSeal, view)) << name << " bit " << bit;
        record[bit / 8] ^= std::byte{static_cast<uint8_t>(1u << bit % 8)};
      }
      for (size_t size = 0; size < record.size(); ++size) {
        const std::vector<std::byte> shorter(record.begin(), record.begin() + static_cast<ptrdiff_t>(size));
        ASSERT_FALSE(open_record(shorter, shape, kKey, kSeal, view));
      }
    }
  }
}

/// An attacker who knows the seal key (or a bug in a writer): the seal fits, the content does not.
TEST(HostileRecord, SealedNonsenseStaysInside) {
  const PartShape shape = part_shape({2, 2, 24, 40, ElementType::kFp16}, 0);
  std::mt19937 random(5);
  int opened = 0, decoded = 0;
  for (const char* name : kNames) {
    const auto record = make_record(name, shape);
    RecordView view;
    ASSERT_TRUE(open_record(record, shape, kKey, kSeal, view));
    const size_t table_end = view.header().header_bytes;
    for (int round = 0; round < 1500; ++round) {
      auto twisted = record;
      const size_t first = round % 3 == 0 ? sizeof(RecordHeader) : round % 3 == 1 ? 8 : table_end;
      const size_t end = round % 3 == 2 ? record.size() : table_end;
      for (uint32_t i = 0; i < 1 + random() % 3; ++i) {
        std::byte& target = twisted[first + random() % (end - first)];
        target = random() % 2 ? static_cast<std::byte>(random()) : target ^ std::byte{1};
      }
      const auto kind = static_cast<SealKind>(1);
      seal_record(twisted, kind, kSeal);
      std::vector<std::byte> values(shape.value_bytes());  // exactly: a sanitizer sees any byte beyond
      opened += open_record(twisted, shape, kKey, kSeal, view).has_value();
      decoded += decode_part(twisted, shape, kKey, kSeal, values).has_value();
      (void)describe_record(twisted, view);
    }
  }
  EXPECT_GT(opened, decoded);  // the coders saw nonsense too
  EXPECT_GT(decoded, 100);
}

TEST(HostileRecord, ForeignRecordsSayWhy) {
  const KvGeometry geometry{8, 8, 128, 256, ElementType::kBf16};
  const PartShape first = part_shape(geometry, 0), second = part_shape(geometry, 1);
  const auto record = make_record("kv4", first);
  RecordView view;
  EXPECT_EQ(open_record(record, second, kKey, kSeal, view).error(), Error::kRecordForeign);
  EXPECT_EQ(open_record(record, first, kSeal, kSeal, view).error(), Error::kRecordForeign);
  EXPECT_EQ(open_record(record, first, kKey, kKey, view).error(), Error::kRecordCorrupt);
  EXPECT_TRUE(open_record(record, first, kKey, kSeal, view));
}

TEST(HostileRecord, ScalesThatDoNotFitAreNoCapacity) {
  const PartShape shape = part_shape({1, 1024, 1, 200, ElementType::kBf16}, 0);
  std::vector<std::byte> record(kRecordBytesMax);
  const auto encoded = encode_part(*profile_from_name("int8"), shape, kKey, SealKind::kXxh3, kSeal,
                                   kv_sample(shape, 1), record);
  ASSERT_FALSE(encoded);
  EXPECT_EQ(encoded.error(), Error::kNoCapacity);
}

/// Values that no coder can shrink, in the largest part there can be, still make a record that fits.
TEST(HostileRecord, LargestIncompressiblePartFits) {
  std::mt19937 random(3);
  std::vector<std::byte> record(kRecordBytesMax);
  for (const KvGeometry& geometry :
       {KvGeometry{1, 1, 960, 1024, ElementType::kBf16}, KvGeometry{64, 1, 56, 256, ElementType::kFp16},
        KvGeometry{1, 64, 1024, 14, ElementType::kBf16}}) {
    ASSERT_TRUE(geometry.validate());
    const PartShape shape = part_shape(geometry, 0);
    std::vector<std::byte> values(shape.value_bytes()), back(values.size());
    for (std::byte& b : values) b = static_cast<std::byte>(random());
    for (const char* name : {"raw", "raw+zstd", "raw+deflate", "kv4", "int8"}) {
      const auto size =
          encode_part(*profile_from_name(name), shape, kKey, SealKind::kXxh3, kSeal, values, record);
      ASSERT_TRUE(size) << name;
      ASSERT_TRUE(decode_part(std::span(record).first(*size), shape, kKey, kSeal, back)) << name;
      EXPECT_EQ(values, back) << name;  // random bits contain infinities, so every plane is raw
    }
  }
}

}  // namespace
}  // namespace shadowserve
