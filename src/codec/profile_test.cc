// Profile names and the recipes behind them.
#include "codec/profile.h"

#include <gtest/gtest.h>

namespace shadowserve {
namespace {

const KvGeometry kGeometry{16, 4, 64, 256, ElementType::kBf16};

TEST(Profile, NamesRoundTrip) {
  for (const std::string_view base : profile_names()) {
    for (const char* suffix : {"", "+none", "+deflate", "+zstd"}) {
      const std::string name = std::string(base) + suffix;
      const auto profile = profile_from_name(name);
      if (profile_from_name(base)->calibrated() && *suffix != 0) {
        EXPECT_FALSE(profile) << name;  // a calibration's tables are rANS's
        continue;
      }
      ASSERT_TRUE(profile) << name;
      EXPECT_EQ(profile->name(), name);
      EXPECT_LT(name.size(), sizeof(RecordHeader::profile));
    }
  }
  EXPECT_EQ(profile_from_name("kv4+packed")->name(), "kv4+none");
  for (const char* bad :
       {"", "kv", "kv4+", "kv4+lz4", "KV4", "raw+packed", "kv4 ", "raw+rans", "int8+rans"}) {
    EXPECT_FALSE(profile_from_name(bad)) << bad;
  }
}

TEST(Profile, Recipes) {
  const auto recipe = [](const char* name, uint32_t plane) {
    return profile_from_name(name)->recipe(kGeometry, plane);
  };
  EXPECT_EQ(recipe("kv4", 0).quantizer, QuantizerId::kChannelAsym);
  EXPECT_EQ(recipe("kv4", 0).levels, 16);
  EXPECT_EQ(recipe("kv4", 0).group_tokens, 128);
  EXPECT_EQ(recipe("kv4", 1).quantizer, QuantizerId::kTokenSym);
  EXPECT_EQ(recipe("kv4", 1).levels, 15);
  EXPECT_EQ(recipe("kv4", 1).group_heads, 1);
  EXPECT_EQ(recipe("kv4+none", 1).packing, PackingId::kNibbles);
  EXPECT_EQ(recipe("kv4+none", 1).coder, CoderId::kNone);
  EXPECT_EQ(recipe("int8", 3).levels, 255);
  EXPECT_EQ(recipe("cachegen", 2 * 9).levels, 31);
  EXPECT_EQ(recipe("cachegen", 2 * 10).levels, 15);
  EXPECT_EQ(recipe("cachegen", 2 * 1 + 1).levels, 31);
  EXPECT_EQ(recipe("cachegen", 2 * 2 + 1).levels, 15);
  EXPECT_EQ(recipe("cachegen", 1).packing, PackingId::kBytes);
  EXPECT_EQ(recipe("cachegen", 2 * 2 + 1).packing, PackingId::kBytes);
  EXPECT_EQ(recipe("cachegen+zstd", 2 * 2 + 1).packing, PackingId::kNibbles);
  EXPECT_EQ(recipe("kv4", 0).coder, CoderId::kRans);
  EXPECT_EQ(recipe("kv4", 0).packing, PackingId::kBytes);
  EXPECT_EQ(recipe("kv4+zstd", 0).packing, PackingId::kNibbles);
  EXPECT_EQ(recipe("int8", 0).coder, CoderId::kZstd);
  EXPECT_EQ(recipe("raw", 0).packing, PackingId::kElements);
  EXPECT_EQ(recipe("raw", 0).coder, CoderId::kNone);
  EXPECT_EQ(recipe("raw+zstd", 0).packing, PackingId::kSplit);
}

TEST(Profile, SmallPlanesAreNotWorthTheStatesOfRans) {
  KvGeometry geometry = kGeometry;
  geometry.chunk_tokens = 16;
  geometry.kv_heads = 1;
  geometry.head_dim = 64;
  EXPECT_EQ(profile_from_name("kv4")->recipe(geometry, 0).coder, CoderId::kZstd);
  EXPECT_EQ(profile_from_name("kv4+rans")->recipe(geometry, 0).packing, PackingId::kNibbles);
}

TEST(Profile, GroupsNeverExceedTheChunk) {
  KvGeometry geometry = kGeometry;
  geometry.chunk_tokens = 48;
  EXPECT_EQ(profile_from_name("kv4")->recipe(geometry, 0).group_tokens, 48);
}

}  // namespace
}  // namespace shadowserve
