// Regions of kept rows: what is taken, and that nothing else is.
#include "chunk/kept_rows.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <vector>

namespace shadowserve {
namespace {

const KvGeometry kGeometry{1, 2, 4, 16, ElementType::kBf16};  // 8 channels
constexpr uint32_t kTokens = 16;
constexpr KeptRowsHead kHead{1, 2, 3};

// Offsets in the region that kHead has.
constexpr size_t kExactTokens = 8, kInt8Tokens = 10, kScales = 14 + 16, kPatches = kScales + 8;

std::vector<std::byte> region(const std::function<void(std::vector<std::byte>&)>& change = {}) {
  std::vector<std::byte> bytes(KeptRows::bytes(kHead, kGeometry));
  std::memcpy(bytes.data(), &kHead, sizeof kHead);
  const auto put = [&bytes](size_t at, uint16_t bits) { std::memcpy(bytes.data() + at, &bits, 2); };
  put(kExactTokens, 0);
  put(kInt8Tokens, 3);
  put(kInt8Tokens + 2, 15);
  for (size_t i = 0; i < 4; ++i) put(kScales + 2 * i, 0x7AFF);
  const uint16_t patches[3][3] = {{1, 7, 1}, {2, 0, 2}, {2, 1, 0xffff}};
  std::memcpy(bytes.data() + kPatches, patches, sizeof patches);
  if (change) change(bytes);
  return bytes;
}

auto setting(size_t at, uint16_t bits) {
  return [at, bits](std::vector<std::byte>& bytes) { std::memcpy(bytes.data() + at, &bits, 2); };
}

bool parses(const std::vector<std::byte>& bytes, uint32_t tokens = kTokens) {
  KeptRows rows;
  return KeptRows::parse(bytes, kGeometry, tokens, rows);
}

TEST(KeptRows, PartsLieOneBehindTheOther) {
  const auto bytes = region();
  const auto* const from = reinterpret_cast<const uint8_t*>(bytes.data());
  KeptRows rows;
  ASSERT_TRUE(KeptRows::parse(bytes, kGeometry, kTokens, rows));
  EXPECT_EQ(rows.exact_tokens - from, ptrdiff_t{kExactTokens});
  EXPECT_EQ(rows.int8_tokens - from, ptrdiff_t{kInt8Tokens});
  EXPECT_EQ(rows.exact_elements - from, 14);
  EXPECT_EQ(rows.int8_scales - from, ptrdiff_t{kScales});
  EXPECT_EQ(rows.patches - from, ptrdiff_t{kPatches});
  EXPECT_EQ(rows.int8_symbols + 2 * 8 - from, static_cast<ptrdiff_t>(bytes.size()));
}

TEST(KeptRows, EveryRuleIsChecked) {
  ASSERT_TRUE(parses(region()));  // negative control
  EXPECT_FALSE(parses(region(setting(0, 17)))) << "more exact rows than tokens";
  EXPECT_FALSE(parses(region(setting(0, 2)))) << "a row that is not there";
  EXPECT_FALSE(parses(region(setting(4, 4)))) << "a patch that is not there";
  EXPECT_FALSE(parses(region(setting(6, 0xffff)))) << "more patches than memory";
  EXPECT_FALSE(parses(region(setting(kExactTokens, 16)))) << "a token behind the frame";
  EXPECT_FALSE(parses(region(setting(kInt8Tokens + 2, 3)))) << "a token twice";
  EXPECT_FALSE(parses(region(setting(kInt8Tokens + 2, 2)))) << "tokens that descend";
  EXPECT_FALSE(parses(region(setting(kScales + 6, 0x7B00)))) << "a scale that overflows";
  EXPECT_FALSE(parses(region(setting(kScales, 0x8001)))) << "a negative scale";
  EXPECT_FALSE(parses(region(setting(kPatches + 12, 16)))) << "a patch behind the frame";
  EXPECT_FALSE(parses(region(setting(kPatches + 2, 8)))) << "a channel that is not there";
  EXPECT_FALSE(parses(region(setting(kPatches + 14, 0)))) << "a patch twice";
  EXPECT_FALSE(parses(region(), 15)) << "a frame of fewer tokens";
}

TEST(KeptRows, SizesAgreeToTheByte) {
  for (size_t size = 0; size < region().size(); ++size) {
    EXPECT_FALSE(parses(region([size](auto& bytes) { bytes.resize(size); }))) << size;
  }
  EXPECT_FALSE(parses(region([](auto& bytes) { bytes.push_back(std::byte{0}); })));
}

}  // namespace
}  // namespace shadowserve
