// Placement: fast paths against the oracle, round trips, bounds, and what must stay untouched.
#include "control/placement.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <tuple>
#include <vector>

#include "contract/check.h"

namespace shadowserve {
namespace {

std::vector<std::byte> random_bytes(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

PageShape make_shape(PageLayout layout, uint32_t tokens, uint32_t heads, uint32_t dim, size_t gap = 0,
                     uint32_t element_bytes = 2, uint32_t planes = 2) {
  PageShape shape{layout, tokens, heads, dim, 0, element_bytes, planes};
  shape.head_stride_bytes = shape.head_bytes() + gap;
  std::string message;
  SS_CHECK(shape.validate(message).has_value(), "test shapes are valid");
  return shape;
}

struct Sizes {
  uint32_t tokens, heads, dim;
  size_t gap;
  uint32_t element_bytes = 2;
};

class PlacementTest : public testing::TestWithParam<std::tuple<PageLayout, Sizes>> {
 protected:
  PlacementTest() {
    const auto& [layout, sizes] = GetParam();
    shape = make_shape(layout, sizes.tokens, sizes.heads, sizes.dim, sizes.gap, sizes.element_bytes);
    page_bytes = (shape.kv_heads - 1) * shape.head_stride_bytes + shape.head_bytes();
    rows = random_bytes(shape.page_tokens * shape.row_bytes(), 7);
  }
  PageShape shape;
  size_t page_bytes;
  std::vector<std::byte> rows;
};

TEST_P(PlacementTest, FastEqualsOracleFromEveryFirstToken) {
  for (PlaneKind kind : {PlaneKind::kKeys, PlaneKind::kValues}) {
    for (uint32_t first : {0u, 1u, 15u, 16u, 17u, shape.page_tokens - 1, shape.page_tokens}) {
      if (first > shape.page_tokens) continue;
      const std::vector<std::byte> before = random_bytes(page_bytes, 9);
      std::vector<std::byte> fast = before, slow = before;
      place_plane(shape, kind, rows.data(), fast.data(), first);
      place_plane_oracle(shape, kind, rows.data(), slow.data(), first, shape.page_tokens);
      ASSERT_EQ(fast, slow) << "first " << first;
      // Negative control: an oracle that starts elsewhere must differ.
      if (first + 1 < shape.page_tokens) {
        std::vector<std::byte> other = before;
        place_plane_oracle(shape, kind, rows.data(), other.data(), first + 1, shape.page_tokens);
        ASSERT_NE(fast, other);
      }
    }
  }
}

TEST_P(PlacementTest, GatherReversesPlaceAndEqualsOracle) {
  std::vector<std::byte> page(page_bytes);
  const std::vector<std::byte> values = random_bytes(rows.size(), 8);
  place_plane(shape, PlaneKind::kKeys, rows.data(), page.data());
  place_plane(shape, PlaneKind::kValues, values.data(), page.data());
  std::vector<std::byte> back(rows.size()), slow(rows.size());
  gather_plane(shape, PlaneKind::kKeys, page.data(), back.data());
  gather_plane_oracle(shape, PlaneKind::kKeys, page.data(), slow.data(), 0, shape.page_tokens);
  EXPECT_EQ(back, rows);
  EXPECT_EQ(slow, rows);
  gather_plane(shape, PlaneKind::kValues, page.data(), back.data());
  gather_plane_oracle(shape, PlaneKind::kValues, page.data(), slow.data(), 0, shape.page_tokens);
  EXPECT_EQ(back, values);
  EXPECT_EQ(slow, values);
}

TEST_P(PlacementTest, EveryElementHasItsOwnPlaceInsideTheHead) {
  std::vector<bool> seen(shape.head_bytes() / shape.element_bytes);
  for (PlaneKind kind : {PlaneKind::kKeys, PlaneKind::kValues}) {
    for (uint32_t t = 0; t < shape.page_tokens; ++t) {
      for (uint32_t d = 0; d < shape.head_dim; ++d) {
        const size_t at = page_element(shape, kind, t, d);
        ASSERT_LT(at, seen.size());
        ASSERT_FALSE(seen[at]);
        seen[at] = true;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, PlacementTest,
    testing::Combine(testing::Values(PageLayout::kVec, PageLayout::kAmx, PageLayout::kPlain),
                     testing::Values(Sizes{32, 1, 16, 0}, Sizes{128, 2, 64, 0}, Sizes{16, 3, 80, 64},
                                     Sizes{96, 2, 256, 0}, Sizes{64, 5, 112, 2})));

INSTANTIATE_TEST_SUITE_P(Tails, PlacementTest,
                         testing::Combine(testing::Values(PageLayout::kVec, PageLayout::kPlain),
                                          testing::Values(Sizes{17, 2, 24, 0}, Sizes{20, 1, 7, 0},
                                                          Sizes{24, 2, 72, 6})));

INSTANTIATE_TEST_SUITE_P(Bytes, PlacementTest,
                         testing::Combine(testing::Values(PageLayout::kVec, PageLayout::kAmx,
                                                          PageLayout::kPlain),
                                          testing::Values(Sizes{32, 1, 16, 0, 1}, Sizes{128, 2, 64, 0, 1},
                                                          Sizes{16, 3, 80, 64, 1}, Sizes{96, 2, 256, 1, 1})));

INSTANTIATE_TEST_SUITE_P(BytesTails, PlacementTest,
                         testing::Combine(testing::Values(PageLayout::kVec, PageLayout::kPlain),
                                          testing::Values(Sizes{17, 2, 24, 0, 1}, Sizes{20, 1, 7, 0, 1},
                                                          Sizes{40, 2, 72, 3, 1})));

TEST(Placement, ALatentPageIsItsRowsOneBehindTheOther) {
  for (const uint32_t element_bytes : {2u, 1u}) {
    const PageShape shape = make_shape(PageLayout::kPlain, 16, 1, 576, 0, element_bytes, 1);
    EXPECT_EQ(shape.head_bytes(), size_t{16} * 576 * element_bytes);
    const auto rows = random_bytes(shape.head_bytes(), 3), before = random_bytes(shape.head_bytes(), 4);
    auto page = before, back = before;
    place_plane(shape, PlaneKind::kKeys, rows.data(), page.data(), 5);
    const auto edge = static_cast<std::ptrdiff_t>(5 * shape.row_bytes());
    EXPECT_TRUE(std::equal(page.begin(), page.begin() + edge, before.begin())) << "not placed";
    EXPECT_TRUE(std::equal(page.begin() + edge, page.end(), rows.begin() + edge));
    EXPECT_NE(page, rows);
    gather_plane(shape, PlaneKind::kKeys, page.data(), back.data());
    EXPECT_EQ(back, page);
  }
}

TEST(Placement, KnownPositions) {
  const PageShape vec = make_shape(PageLayout::kVec, 32, 1, 64),
                  amx = make_shape(PageLayout::kAmx, 32, 1, 64);
  EXPECT_EQ(page_element(vec, PlaneKind::kKeys, 3, 5), 5u * 32 + 3);
  EXPECT_EQ(page_element(vec, PlaneKind::kValues, 3, 5), 32u * 64 + 3 * 64 + 5);
  EXPECT_EQ(page_element(amx, PlaneKind::kKeys, 17, 5), 16u * 64 + 2 * 32 + 1 * 2 + 1);
  EXPECT_EQ(page_element(amx, PlaneKind::kValues, 17, 21), 32u * 64 + 32 * 16 + 8 * 32 + 5 * 2 + 1);
}

TEST(Placement, RefusesWhatItCannotDo) {
  std::string message;
  PageShape shape = make_shape(PageLayout::kVec, 32, 2, 64);
  shape.layout = static_cast<PageLayout>(9);
  EXPECT_EQ(shape.validate(message).error(), Error::kUnsupported);
  shape = {PageLayout::kAmx, 24, 1, 64, 24 * 64 * 4};
  EXPECT_EQ(shape.validate(message).error(), Error::kUnsupported);
  EXPECT_NE(message.find("multiples of 16"), std::string::npos);
  shape = {PageLayout::kVec, 32, 1, 64, 0, 2, 1};
  EXPECT_EQ(shape.validate(message).error(), Error::kUnsupported);
  EXPECT_NE(message.find("a latent page"), std::string::npos);
  shape = {PageLayout::kPlain, 32, 1, 64, 0, 4, 2};
  EXPECT_EQ(shape.validate(message).error(), Error::kConfig);
  shape = {PageLayout::kVec, 32, 2, 64, 100};
  EXPECT_EQ(shape.validate(message).error(), Error::kConfig);
  EXPECT_NE(message.find("head_stride_bytes"), std::string::npos);
}

}  // namespace
}  // namespace shadowserve
