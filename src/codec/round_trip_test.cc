// Whole trips: every profile, element type and shape through encode and decode, within the quantizer's bound.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "codec/codec.h"
#include "codec/element.h"
#include "codec/kv_sample.h"

namespace shadowserve {
namespace {

const char* const kEveryName[] = {
    "raw",        "raw+zstd", "raw+deflate",      "int8",         "int8+deflate",
    "int8+none",  "kv4",      "kv4+none",         "kv4+deflate",  "kv4+zstd",
    "kv4+packed", "cachegen", "cachegen+deflate", "cachegen+none"};

const KvGeometry kShapes[] = {
    {2, 1, 32, 16, ElementType::kBf16},   {3, 1, 32, 256, ElementType::kFp16},
    {2, 4, 64, 256, ElementType::kBf16},  {2, 8, 128, 256, ElementType::kBf16},
    {4, 1, 256, 256, ElementType::kFp16}, {2, 3, 5, 131, ElementType::kBf16},
    {1, 1, 1, 1, ElementType::kBf16},     {1, 2, 1000, 200, ElementType::kFp16},
    {1, 64, 1024, 9, ElementType::kBf16}, {12, 2, 7, 300, ElementType::kFp16},
};

float value_at(const std::vector<std::byte>& bytes, size_t i, ElementType type) {
  uint16_t bits;
  std::memcpy(&bits, bytes.data() + 2 * i, 2);
  return element::to_float(bits, type);
}

/// Half a level of the widest range a scale may cover, plus the rounding of scales and results.
float bound_of(const PlaneRecipe& recipe, const std::vector<std::byte>& values, const PartShape& shape,
               size_t plane, size_t token, size_t channel) {
  const KvGeometry& g = shape.geometry;
  const size_t base = plane * g.plane_values();
  float least = INFINITY, largest = -INFINITY;
  const auto see = [&](size_t t, size_t c) {
    const float value = value_at(values, base + t * g.channels() + c, g.element);
    least = std::min(least, value);
    largest = std::max(largest, value);
  };
  float level = 0;
  if (recipe.quantizer == QuantizerId::kTokenSym) {
    const size_t width = size_t{recipe.group_heads ? recipe.group_heads : g.kv_heads} * g.head_dim;
    for (size_t c = channel / width * width; c < (channel / width + 1) * width; ++c) see(token, c);
    level = std::max(std::fabs(least), std::fabs(largest)) / static_cast<float>((recipe.levels - 1) / 2);
  } else if (recipe.quantizer == QuantizerId::kChannelAsym) {
    for (size_t t = 0; t < g.chunk_tokens; ++t) see(t, channel);  // at least as wide as the group's
    level = (largest - least + std::fabs(least) / 128) / static_cast<float>(recipe.levels - 1);
  } else {
    return 0;
  }
  const float magnitude = std::max(std::fabs(least), std::fabs(largest));
  return level * 0.5f * 1.01f + magnitude / 200 + 1e-7f;
}

TEST(RoundTrip, EveryProfileAndShape) {
  const ChunkKey key{std::byte{1}}, seal{std::byte{2}};
  std::vector<std::byte> record(kRecordBytesMax);
  for (const KvGeometry& geometry : kShapes) {
    ASSERT_TRUE(geometry.validate());
    for (const char* name : kEveryName) {
      const Profile profile = *profile_from_name(name);
      const PartShape shape = part_shape(geometry, geometry.parts() - 1);
      const auto values = kv_sample(shape, 7);
      const auto size = encode_part(profile, shape, key, SealKind::kXxh3, seal, values, record);
      ASSERT_TRUE(size) << name << " " << geometry.kv_heads << "x" << geometry.head_dim << " "
                        << error_name(size.error());
      std::vector<std::byte> back(values.size());
      const auto whole = std::span(record).first(*size);
      const auto decoded = decode_part(whole, shape, key, seal, back);
      ASSERT_TRUE(decoded) << name << " " << error_name(decoded.error());
      std::mt19937_64 random(3);
      for (int probe = 0; probe < 300; ++probe) {
        const size_t i = random() % shape.values();
        const size_t plane = i / geometry.plane_values();
        const size_t in_plane = i % geometry.plane_values();
        const PlaneRecipe recipe = profile.recipe(geometry, shape.plane_first + static_cast<uint32_t>(plane));
        const float was = value_at(values, i, geometry.element), is = value_at(back, i, geometry.element);
        const float bound = bound_of(recipe, values, shape, plane, in_plane / geometry.channels(),
                                     in_plane % geometry.channels());
        ASSERT_LE(std::fabs(was - is), bound) << name << " value " << i << ": " << was << " became " << is;
      }
    }
  }
}

/// Every bit pattern of an element, NaN payloads and both infinities included.
TEST(RoundTrip, RawIsBitExact) {
  const ChunkKey key{}, seal{};
  std::vector<std::byte> record(kRecordBytesMax);
  for (const ElementType element : {ElementType::kBf16, ElementType::kFp16}) {
    const PartShape shape = part_shape({1, 2, 64, 256, element}, 0);
    std::vector<std::byte> values(shape.value_bytes()), back(values.size());
    for (size_t i = 0; i < shape.values(); ++i) {
      const auto bits = static_cast<uint16_t>(i * 40503);
      std::memcpy(values.data() + 2 * i, &bits, 2);
    }
    for (const char* name : {"raw", "raw+deflate", "raw+zstd", "kv4", "kv4+deflate", "int8", "cachegen"}) {
      const auto size =
          encode_part(*profile_from_name(name), shape, key, SealKind::kGmac, seal, values, record);
      ASSERT_TRUE(size);
      ASSERT_TRUE(decode_part(std::span(record).first(*size), shape, key, seal, back));
      EXPECT_EQ(values, back) << name;  // lossy profiles keep planes with NaN raw
    }
  }
}

TEST(RoundTrip, OnlyPlanesWithNanAreKeptRaw) {
  const PartShape shape = part_shape({2, 2, 64, 64, ElementType::kBf16}, 0);
  auto values = kv_sample(shape, 1);
  const uint16_t nan = 0x7fc1;
  std::memcpy(values.data() + shape.geometry.plane_bytes() + 100, &nan, 2);
  std::vector<std::byte> record(kRecordBytesMax), back(values.size());
  const auto size = encode_part(*profile_from_name("kv4"), shape, {}, SealKind::kXxh3, {}, values, record);
  RecordView view;
  ASSERT_TRUE(open_record(std::span(record).first(*size), shape, {}, {}, view));
  for (uint32_t i = 0; i < view.frame_count(); ++i) {
    EXPECT_EQ(view.frame(i).entry.quantizer == 0, view.frame(i).entry.plane == 1);
  }
  ASSERT_TRUE(decode_part(std::span(record).first(*size), shape, {}, {}, back));
  const size_t plane = shape.geometry.plane_bytes();
  EXPECT_EQ(std::memcmp(values.data() + plane, back.data() + plane, plane), 0);
}

/// Zeros, constants, subnormals and the largest magnitudes each type can have come back in their own range.
TEST(RoundTrip, EdgesOfTheNumberLine) {
  std::vector<std::byte> record(kRecordBytesMax);
  for (const ElementType element : {ElementType::kBf16, ElementType::kFp16}) {
    const uint16_t top = element == ElementType::kBf16 ? 0x7f7f : 0x7bff;
    const uint16_t least_normal = element == ElementType::kBf16 ? 0x0080 : 0x0400;
    for (const uint16_t bits : {uint16_t{0}, uint16_t{0x8000}, uint16_t{1}, uint16_t{0x8003}, least_normal,
                                uint16_t{0x3c01}, uint16_t{0x7a80}, top, uint16_t(top | 0x8000)}) {
      for (const bool alternate : {false, true}) {
        const PartShape shape = part_shape({1, 1, 32, 40, element}, 0);
        std::vector<std::byte> values(shape.value_bytes()), back(values.size());
        for (size_t i = 0; i < shape.values(); ++i) {
          const auto mine = static_cast<uint16_t>(alternate && i % 3 == 0 ? bits ^ 0x8000 : bits);
          std::memcpy(values.data() + 2 * i, &mine, 2);
        }
        for (const char* name : {"kv4", "int8", "cachegen"}) {
          const auto size =
              encode_part(*profile_from_name(name), shape, {}, SealKind::kXxh3, {}, values, record);
          ASSERT_TRUE(size);
          ASSERT_TRUE(decode_part(std::span(record).first(*size), shape, {}, {}, back));
          const float expected = std::fabs(element::to_float(bits, element));
          for (size_t i = 0; i < shape.values(); ++i) {
            const float was = value_at(values, i, element), is = value_at(back, i, element);
            ASSERT_LE(std::fabs(was / 2 - is / 2), expected * 0.02f + 1e-7f * 65504 / 60000)
                << name << " " << std::hex << bits << ": " << was << " became " << is;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace shadowserve
