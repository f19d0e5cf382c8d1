// Parts of every shape tile its planes and fit a record; elements and latent planes in one number.
#include "chunk/kv_geometry.h"

#include <gtest/gtest.h>

#include <set>

namespace shadowserve {
namespace {

constexpr KvGeometry kLlama{32, 8, 128, 256, ElementType::kBf16};
constexpr KvGeometry kDeepSeek{61, 1, 576, 256, ElementType::kBf16, 1};

KvGeometry with_element(KvGeometry geometry, ElementType element) {
  geometry.element = element;
  return geometry;
}

TEST(KvGeometry, PartsTileThePlanesAndFitRecords) {
  for (KvGeometry geometry :
       {kLlama, kDeepSeek, KvGeometry{27, 1, 576, 256, ElementType::kBf16, 1}, KvGeometry{5, 1, 16, 64}}) {
    for (const ElementType element : {ElementType::kBf16, ElementType::kFp8E4M3, ElementType::kFp8E5M2}) {
      geometry.element = element;
      ASSERT_TRUE(geometry.validate());
      uint32_t plane = 0;
      for (uint32_t part = 0; part < geometry.parts(); ++part) {
        const PartShape shape = part_shape(geometry, part);
        EXPECT_EQ(shape.plane_first, plane);
        EXPECT_GT(shape.plane_count, 0u);
        EXPECT_LE(shape.value_bytes(), kPartValueBytesMax);
        EXPECT_EQ(shape.value_bytes(), shape.values() * geometry.element_bytes());
        EXPECT_TRUE(geometry.latent() || shape.plane_first % 2 == 0) << "K and V stay together";
        plane += shape.plane_count;
      }
      EXPECT_EQ(plane, geometry.planes());
    }
  }
}

TEST(KvGeometry, PlanesOfLatentLayersAreHalfAsMany) {
  EXPECT_EQ(kLlama.planes(), 64u);
  EXPECT_EQ(kLlama.layer_of(5), 2u);
  EXPECT_EQ(kLlama.kind_of(5), 1u);
  EXPECT_EQ(kDeepSeek.planes(), 61u);
  EXPECT_EQ(kDeepSeek.layer_of(5), 5u);
  EXPECT_EQ(kDeepSeek.kind_of(5), 0u);
  EXPECT_EQ(kDeepSeek.chunk_bytes(), size_t{61} * 256 * 576 * 2);
  EXPECT_EQ(with_element(kDeepSeek, ElementType::kFp8E4M3).chunk_bytes(), size_t{61} * 256 * 576);
}

TEST(KvGeometry, OneNumberSaysElementAndKindOfPlane) {
  std::set<int> numbers;
  for (const ElementType element :
       {ElementType::kBf16, ElementType::kFp16, ElementType::kFp8E4M3, ElementType::kFp8E5M2}) {
    for (KvGeometry geometry : {kLlama, kDeepSeek}) {
      geometry.element = element;
      numbers.insert(geometry.element_number());
      KvGeometry back = geometry;
      back.element = ElementType{}, back.planes_per_layer = 0;
      back.set_element_number(geometry.element_number());
      EXPECT_EQ(back, geometry);
    }
  }
  EXPECT_EQ(numbers, (std::set<int>{1, 2, 3, 4, 17, 18, 19, 20})) << "the first two as ever";
}

TEST(KvGeometry, NumbersThatDoNotExistAreRefused) {
  for (int number = 0; number < 256; ++number) {
    KvGeometry geometry{2, 1, 64, 256};
    geometry.set_element_number(static_cast<uint8_t>(number));
    const int low = number & ~0x10;
    EXPECT_EQ(geometry.validate().has_value(), low >= 1 && low <= 4) << number;
  }
  KvGeometry several{2, 2, 64, 256, ElementType::kBf16, 1};
  EXPECT_FALSE(several.validate()) << "a latent vector has no heads";
  several.planes_per_layer = 3;
  EXPECT_FALSE(several.validate());
}

}  // namespace
}  // namespace shadowserve
