// fp8 and latent caches over the C API and the real data plane: every byte of a page back, and no kind finds
// another's.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "link/link_engine.h"
#include "plane/session.h"

namespace shadowserve {
namespace {

struct CacheShape {
  const char* name;
  uint32_t element, planes, heads, dim, page_tokens, layout;
  size_t page_bytes() const { return size_t{planes} * heads * dim * page_tokens * (element > 2 ? 1 : 2); }
};

constexpr uint32_t kCacheLayers = 5;
constexpr uint32_t kCachePages = 96;
constexpr CacheShape kBf16{"bf16", 1, 2, 2, 64, 64, SS_PAGES_VEC};
constexpr CacheShape kE4M3{"e4m3", 3, 2, 2, 64, 64, SS_PAGES_VEC};
constexpr CacheShape kE5M2{"e5m2", 4, 2, 2, 64, 64, SS_PAGES_VEC};
constexpr CacheShape kE4M3Amx{"e4m3_amx", 3, 2, 2, 64, 64, SS_PAGES_AMX};
constexpr CacheShape kLatentBf16{"latent", 1, 1, 1, 576, 16, SS_PAGES_PLAIN};
constexpr CacheShape kLatentE4M3{"latent_e4m3", 3, 1, 1, 576, 16, SS_PAGES_PLAIN};
constexpr CacheShape kOneHeadBf16{"one_head", 1, 2, 1, 576, 16, SS_PAGES_PLAIN};

/// Pages of any of these shapes, and both objects of the C API.
class CacheEngine {
 public:
  CacheEngine(const CacheShape& shape, const char* profile, uint32_t seed)
      : shape_(shape), memory_(kCacheLayers * kCachePages * shape.page_bytes()) {
    std::mt19937 random(seed);
    for (std::byte& byte : memory_) byte = static_cast<std::byte>(random());
    ss_options options = engine_options(profile);
    options.layers = kCacheLayers;
    options.kv_heads = shape.heads, options.head_dim = shape.dim;
    options.element = shape.element, options.planes_per_layer = shape.planes;
    char message[256] = "";
    lookup_ = ss_lookup_open(&options, message, sizeof(message));
    EXPECT_NE(lookup_, nullptr) << message;
    transfer_ = ss_transfer_open(&options, message, sizeof(message));
    EXPECT_NE(transfer_, nullptr) << message;
    std::vector<void*> bases;
    for (uint32_t layer = 0; layer < kCacheLayers; ++layer) bases.push_back(page(layer, 0));
    ss_pages pages{};
    pages.layout = shape.layout, pages.page_tokens = shape.page_tokens, pages.pages = kCachePages;
    pages.page_stride_bytes = shape.page_bytes();
    pages.head_stride_bytes = shape.page_bytes() / shape.heads;
    pages.layer_base = bases.data(), pages.layers = kCacheLayers;
    EXPECT_EQ(ss_transfer_register_pages(transfer_, &pages, message, sizeof(message)), 0) << message;
  }
  ~CacheEngine() {
    ss_transfer_close(transfer_);
    ss_lookup_close(lookup_);
  }

  std::byte* page(uint32_t layer, uint32_t id) {
    return memory_.data() + (size_t{layer} * kCachePages + id) * shape_.page_bytes();
  }
  std::vector<int32_t> table(int32_t first) const {
    std::vector<int32_t> ids;
    for (uint32_t token = 0; token < 512; token += shape_.page_tokens) ids.push_back(first++);
    return ids;
  }
  std::string profile() const { return ss_transfer_profile(transfer_); }
  std::vector<uint8_t> keys() {
    std::vector<uint32_t> tokens(512);
    for (uint32_t i = 0; i < tokens.size(); ++i) tokens[i] = i;
    std::vector<uint8_t> out(2 * SS_KEY_BYTES);
    EXPECT_EQ(ss_chain(lookup_, nullptr, tokens.data(), tokens.size(), nullptr, 0, out.data(), 2), 2u);
    return out;
  }
  int64_t stored() {
    const auto asked = keys();
    int64_t hits = SS_PENDING;
    // A lookup that finds no plane yet is answered as well: asked again until the link is there.
    EXPECT_TRUE(eventually([&] {
      ss_lookup_stats stats{};
      ss_lookup_read_stats(lookup_, &stats);
      return stats.connected != 0;
    }));
    ss_lookup_start(lookup_, 1, asked.data(), 2);
    EXPECT_TRUE(eventually([&] { return (hits = ss_lookup_poll(lookup_, 1)) != SS_PENDING; }));
    ss_lookup_forget(lookup_, 1);
    return hits;
  }
  void save(int32_t first) {
    wait_for_link();
    const auto asked = keys();
    const auto ids = table(first);
    ASSERT_EQ(ss_save(transfer_, 2, asked.data(), 0, 2, ids.data(), ids.size()), 0);
    ASSERT_TRUE(eventually([&] {
      ss_transfer_stats now{};
      ss_transfer_read_stats(transfer_, &now);
      return now.save_stored == 2;
    }));
  }
  uint32_t fetch(int32_t first) {
    wait_for_link();
    const auto asked = keys();
    const auto ids = table(first);
    EXPECT_EQ(ss_fetch(transfer_, 3, asked.data(), 0, 2, 0, ids.data(), ids.size()), 0);
    ss_event event{};
    EXPECT_TRUE(eventually([&] { return ss_transfer_poll(transfer_, &event, 1) == 1; }));
    return event.chunks_placed;
  }
  /// Bytes of these pages, layer by layer.
  std::vector<std::byte> bytes(int32_t first) {
    std::vector<std::byte> out;
    for (uint32_t layer = 0; layer < kCacheLayers; ++layer)
      for (const int32_t id : table(first)) {
        const std::byte* const at = page(layer, static_cast<uint32_t>(id));
        out.insert(out.end(), at, at + shape_.page_bytes());
      }
    return out;
  }

 private:
  void wait_for_link() {
    EXPECT_TRUE(eventually([&] {
      ss_transfer_stats now{};
      ss_transfer_read_stats(transfer_, &now);
      return now.connected != 0;
    }));
  }

  const CacheShape shape_;
  std::vector<std::byte> memory_;
  ss_lookup* lookup_ = nullptr;
  ss_transfer* transfer_ = nullptr;
};

class CacheKinds : public testing::TestWithParam<std::tuple<CacheShape, const char*>> {};

TEST_P(CacheKinds, EveryByteOfAPageComesBack) {
  const auto& [shape, profile] = GetParam();
  for (const bool separate_stages : {false, true}) {
    ThreadedPlane plane("memory:", separate_stages);
    CacheEngine first(shape, profile, 1), second(shape, profile, 2);
    EXPECT_EQ(first.stored(), 0);
    first.save(2);
    EXPECT_EQ(second.stored(), 2);
    EXPECT_NE(second.bytes(40), first.bytes(2)) << "the comparison can fail";
    const auto before = second.bytes(8);
    EXPECT_EQ(second.fetch(40), 2u);
    EXPECT_EQ(second.bytes(40), first.bytes(2));
    if (second.table(8).back() < 40) {
      EXPECT_EQ(second.bytes(8), before) << "other pages are as they were";
    }
  }
}

std::string name_of(const testing::TestParamInfo<std::tuple<CacheShape, const char*>>& info) {
  std::string name = std::string(std::get<0>(info.param).name) + "_" + std::get<1>(info.param);
  for (char& c : name) c = c == '+' ? '_' : c;
  return name;
}

INSTANTIATE_TEST_SUITE_P(Shapes, CacheKinds,
                         testing::Combine(testing::Values(kE4M3, kE5M2, kE4M3Amx, kLatentBf16, kLatentE4M3),
                                          testing::Values("raw", "raw+deflate", "raw+zstd")),
                         name_of);

TEST(CacheKindsTogether, NoneFindsWhatAnotherStored) {
  ThreadedPlane plane("memory:");
  const CacheShape shapes[] = {kBf16, kE4M3, kE5M2, kLatentBf16, kLatentE4M3, kOneHeadBf16};
  std::vector<std::unique_ptr<CacheEngine>> engines;
  for (const CacheShape& shape : shapes) {
    engines.push_back(std::make_unique<CacheEngine>(shape, "raw", 1));
    EXPECT_EQ(engines.back()->stored(), 0) << shape.name << " found what another kind stored";
    engines.back()->save(2);
    EXPECT_EQ(engines.back()->stored(), 2);
  }
}

TEST(CacheKindsTogether, AutoIsLosslessWhereLossIsNotMeasured) {
  ThreadedPlane plane("memory:");
  EXPECT_EQ(CacheEngine(kE4M3, "auto", 1).profile(), "raw");
  EXPECT_EQ(CacheEngine(kLatentBf16, "auto", 1).profile(), "raw");
  EXPECT_EQ(CacheEngine(kBf16, "auto", 1).profile(), "generic");
}

TEST(CacheKindsTogether, ProfilesThatDoNotSuitAreRefusedBothByTheEngineAndByThePlane) {
  const auto refusal = [](uint32_t element, uint32_t planes, const char* profile) {
    ss_options options = engine_options(profile);
    options.kv_heads = 1, options.element = element, options.planes_per_layer = planes;
    char message[512] = "";
    ss_lookup* const lookup = ss_lookup_open(&options, message, sizeof(message));
    ss_lookup_close(lookup);
    return std::string(lookup == nullptr ? message : "");
  };
  for (const char* profile : {"kv4", "int8+zstd", "generic", "cachegen"}) {
    EXPECT_NE(refusal(3, 2, profile).find("raw, raw+deflate and raw+zstd"), std::string::npos) << profile;
    EXPECT_EQ(refusal(1, 1, profile), "") << profile;
  }
  EXPECT_NE(refusal(1, 1, "balanced").find("use raw (lossless)"), std::string::npos);
  EXPECT_EQ(refusal(3, 2, "raw+zstd"), "");
  for (const auto& [element, planes, profile] :
       {std::tuple<ElementType, uint8_t, const char*>{ElementType::kFp8E5M2, 2, "kv4"},
        {ElementType::kBf16, 1, "near"},
        {static_cast<ElementType>(5), 2, "raw"}}) {
    LinkHello hello;
    hello.geometry = LinkGeometry::of({2, 1, 64, 256, element, planes});
    std::snprintf(hello.profile, sizeof(hello.profile), "%s", profile);
    Session session;
    std::string message;
    EXPECT_FALSE(session.open(hello, -1, 64, message)) << profile;
    EXPECT_FALSE(message.empty());
  }
}

}  // namespace
}  // namespace shadowserve
