// Records of fp8 and latent caches: lossless byte for byte, lossy within bounds, never read as another kind.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "codec/codec.h"
#include "codec/kv_sample.h"

namespace shadowserve {
namespace {

constexpr const char* kLossless[] = {"raw", "raw+none", "raw+deflate", "raw+zstd"};
constexpr const char* kLossy[] = {"int8", "kv4", "kv4+deflate", "kv4+none", "cachegen", "generic"};
constexpr KvGeometry kLatent{7, 1, 576, 256, ElementType::kBf16, 1};  // two frames a plane, an odd last part

std::vector<std::byte> encode(const char* name, const PartShape& shape, std::span<const std::byte> values) {
  std::vector<std::byte> record(kRecordBytesMax);
  const auto size = encode_part(*profile_from_name(name), shape, {}, SealKind::kXxh3, {}, values, record);
  record.resize(size.value_or(0));
  return record;
}

std::vector<KvGeometry> kinds() {
  std::vector<KvGeometry> all;
  for (const ElementType element : {ElementType::kFp8E4M3, ElementType::kFp8E5M2, ElementType::kBf16}) {
    all.push_back({3, 2, 64, 256, element});
    all.push_back({2, 3, 5, 131, element});
    all.push_back({7, 1, 576, 256, element, 1});
    all.push_back({3, 1, 7, 33, element, 1});
  }
  return all;
}

TEST(CacheKind, LosslessProfilesGiveEveryByteBack) {
  for (const KvGeometry& geometry : kinds()) {
    for (const uint32_t part : {0u, geometry.parts() - 1}) {
      const PartShape shape = part_shape(geometry, part);
      std::vector<std::byte> values(shape.value_bytes()), back(values.size());
      std::mt19937 random(part);
      for (std::byte& byte : values) byte = static_cast<std::byte>(random());  // NaN and infinity as well
      for (const auto& given : {values, kv_sample(shape, 5)}) {
        for (const char* name : kLossless) {
          const auto record = encode(name, shape, given);
          ASSERT_FALSE(record.empty()) << name;
          ASSERT_TRUE(decode_part(record, shape, {}, {}, back)) << name;
          ASSERT_EQ(back, given) << name;
        }
      }
      auto other = values;
      other[values.size() / 2] ^= std::byte{1};
      ASSERT_TRUE(decode_part(encode("raw", shape, other), shape, {}, {}, back));
      EXPECT_NE(back, values) << "the comparison sees one bit";
    }
  }
}

TEST(CacheKind, CodersFindWhatRepeatsInBytes) {
  const PartShape shape = part_shape({3, 2, 64, 256, ElementType::kFp8E5M2}, 0);
  const auto values = kv_sample(shape, 5);
  for (const char* name : {"raw+deflate", "raw+zstd"})
    EXPECT_LT(encode(name, shape, values).size(), 0.85 * static_cast<double>(values.size())) << name;
  EXPECT_GE(encode("raw", shape, values).size(), values.size());
}

TEST(CacheKind, LossyProfilesCodeNoBytes) {
  for (const ElementType element : {ElementType::kFp8E4M3, ElementType::kFp8E5M2}) {
    const PartShape shape = part_shape({3, 2, 64, 256, element}, 0);
    const auto values = kv_sample(shape, 5);
    for (const char* name : kLossy) {
      EXPECT_FALSE(profile_from_name(name)->suits(shape.geometry)) << name;
      EXPECT_TRUE(encode(name, shape, values).empty()) << name;
    }
    EXPECT_TRUE(profile_from_name("raw+zstd")->suits(shape.geometry));
  }
  for (const char* name : {"near", "balanced", "far"})
    EXPECT_FALSE(profile_from_name(name)->suits(kLatent)) << name;
}

TEST(CacheKind, SmallChunksOfManyChannelsHaveNoRoomForScales) {
  const KvGeometry small{61, 1, 576, 16, ElementType::kBf16, 1},
      enough{61, 1, 576, 32, ElementType::kBf16, 1};
  for (const char* name : {"raw", "raw+zstd", "int8", "kv4", "cachegen", "generic"}) {
    const bool by_channel = std::strcmp(name, "kv4") == 0 || std::strcmp(name, "generic") == 0;
    for (const KvGeometry& geometry : {small, enough}) {
      const bool fits = scales_fit(*profile_from_name(name), geometry);
      EXPECT_EQ(fits, !by_channel || geometry.chunk_tokens == 32) << name << geometry.chunk_tokens;
      // What it says is what saving does.
      const PartShape shape = part_shape(geometry, 0);
      EXPECT_EQ(encode(name, shape, kv_sample(shape, 5)).empty(), !fits) << name << geometry.chunk_tokens;
    }
  }
}

TEST(CacheKind, LossyProfilesKeepLatentPlanesClose) {
  const PartShape shape = part_shape(kLatent, kLatent.parts() - 1);
  const auto values = kv_sample(shape, 5);
  for (const char* name : kLossy) {
    const auto record = encode(name, shape, values);
    ASSERT_FALSE(record.empty()) << name;
    std::vector<std::byte> back(values.size());
    ASSERT_TRUE(decode_part(record, shape, {}, {}, back)) << name;
    double error = 0, size = 0;
    for (size_t i = 0; i < shape.values(); ++i) {
      uint16_t was, is;
      std::memcpy(&was, values.data() + 2 * i, 2);
      std::memcpy(&is, back.data() + 2 * i, 2);
      const double difference = element::from_bf16(is) - element::from_bf16(was);
      error += difference * difference;
      size += element::from_bf16(was) * element::from_bf16(was);
    }
    EXPECT_GT(error, 0) << name;
    // One scale for all 576 channels: the widest of them decides.
    EXPECT_LT(error, (std::strcmp(name, "cachegen") == 0 ? 0.3 : 0.02) * size) << name;
    EXPECT_LT(record.size(), values.size() / 1.8) << name;
  }
}

/// `kv4` and `generic` give every channel of a latent plane steps of its own: rotary channels do not share.
TEST(CacheKind, LatentPlanesAreCodedAsKeysAre) {
  for (const char* name : {"kv4", "generic"}) {
    for (uint32_t plane = 0; plane < kLatent.planes(); ++plane) {
      const PlaneRecipe recipe = profile_from_name(name)->recipe(kLatent, plane);
      EXPECT_EQ(recipe.quantizer, QuantizerId::kChannelAsym) << name << " plane " << plane;
    }
  }
}

TEST(CacheKind, ARecordIsOfOneKindOnly) {
  const KvGeometry geometry{4, 1, 64, 64, ElementType::kFp8E4M3};
  std::vector<KvGeometry> others(4, geometry);
  others[0].element = ElementType::kFp8E5M2;
  others[1].element = ElementType::kBf16;
  others[2].planes_per_layer = 1;
  others[3].head_dim = 32, others[3].element = ElementType::kBf16;  // as many bytes
  const PartShape shape = part_shape(geometry, 0);
  const auto values = kv_sample(shape, 5);
  const auto record = encode("raw", shape, values);
  std::vector<std::byte> back(kRecordBytesMax);
  for (const KvGeometry& other : others) {
    const auto decoded = decode_part(record, part_shape(other, 0), {}, {}, back);
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error(), Error::kRecordForeign);
  }
  EXPECT_TRUE(decode_part(record, shape, {}, {}, back));
}

/// Sealed by who has the key, but against the format: an fp8 frame that is split or quantized.
TEST(CacheKind, FramesThatBytesCannotHaveAreMalformed) {
  const PartShape shape = part_shape({2, 1, 64, 64, ElementType::kFp8E4M3}, 0);
  const auto good = encode("raw", shape, kv_sample(shape, 5));
  const auto error_after = [&](auto change) {
    auto record = good;
    FrameEntry entry;
    std::byte* const at = record.data() + sizeof(RecordHeader);
    std::memcpy(&entry, at, sizeof entry);
    change(entry);
    std::memcpy(at, &entry, sizeof entry);
    seal_record(record, SealKind::kXxh3, {});
    RecordView view;
    const auto opened = open_record(record, shape, {}, {}, view);
    return opened ? Error::kNone : opened.error();
  };
  EXPECT_EQ(error_after([](FrameEntry&) {}), Error::kNone);
  EXPECT_EQ(error_after([](FrameEntry& e) { e.packing = static_cast<uint8_t>(PackingId::kSplit); }),
            Error::kRecordMalformed);
  EXPECT_EQ(error_after([](FrameEntry& e) {
              e.packing = static_cast<uint8_t>(PackingId::kBytes);
              e.quantizer = static_cast<uint8_t>(QuantizerId::kTokenSym), e.levels = 255, e.group_heads = 1;
            }),
            Error::kRecordMalformed);
  EXPECT_EQ(error_after([](FrameEntry& e) { e.quantizer |= kKeepsRows; }), Error::kRecordMalformed);
}

}  // namespace
}  // namespace shadowserve
