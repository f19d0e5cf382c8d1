// The C API as an engine uses it: settings with helpful refusals, and one trip with real threads.
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "control/fake_plane.h"
#include "control/test_calibration.h"
#include "control/test_engine.h"
#include "shadowserve/shadowserve.h"

namespace shadowserve {
namespace {

std::string refusal(const ss_options& options, bool transfer = true) {
  char message[512] = "";
  if (transfer) {
    ss_transfer* opened = ss_transfer_open(&options, message, sizeof message);
    ss_transfer_close(opened);
    return opened != nullptr ? "" : message;
  }
  ss_lookup* opened = ss_lookup_open(&options, message, sizeof message);
  ss_lookup_close(opened);
  return opened != nullptr ? "" : message;
}

TEST(CApi, RefusalsNameTheField) {
  FakePlane plane("c-api-options");
  ss_options good = one_part_options();
  good.socket_path = plane.path().c_str();
  EXPECT_EQ(refusal(good), "");
  EXPECT_EQ(refusal(good, false), "");
  const auto with = [&good](auto change) {
    ss_options options = good;
    change(options);
    return refusal(options);
  };
  EXPECT_NE(with([](ss_options& o) { o.struct_size = 0; }).find("struct_size"), std::string::npos);
  EXPECT_NE(with([](ss_options& o) { o.model_fingerprint = nullptr; }).find("model_fingerprint"),
            std::string::npos);
  EXPECT_NE(with([](ss_options& o) { o.profile = "kv4+zstt"; }).find("did you mean \"kv4+zstd\""),
            std::string::npos);
  EXPECT_NE(with([](ss_options& o) { o.layers = 0; }).find("layers is 0"), std::string::npos);
  EXPECT_NE(with([](ss_options& o) { o.kv_heads = 5000; }).find("kv_heads is 5000"), std::string::npos);
  EXPECT_NE(with([](ss_options& o) { o.element = 5; }).find("element is 5"), std::string::npos);
  EXPECT_NE(with([](ss_options& o) { o.planes_per_layer = 3; }).find("planes_per_layer is 3"),
            std::string::npos);
  EXPECT_NE(with([](ss_options& o) { o.planes_per_layer = 1; }).find("kv_heads is 2"), std::string::npos);
  EXPECT_NE(with([](ss_options& o) { o.shard = 1; }).find("shard_count"), std::string::npos);
  EXPECT_NE(with([](ss_options& o) { o.shard_count = 100; }).find("shard_count is 100"), std::string::npos);
  ss_options sharded = good;
  sharded.shard = 1, sharded.shard_count = 2;
  EXPECT_EQ(refusal(sharded), "");
  EXPECT_NE(refusal(sharded, false).find("a lookup asks for all shards"), std::string::npos);
  EXPECT_NE(with([](ss_options& o) { o.staging_bytes = 1000; }).find("staging_bytes"), std::string::npos);
  EXPECT_NE(with([](ss_options& o) { o.chunk_tokens = 4096, o.head_dim = 1024; }).find("chunk_tokens"),
            std::string::npos);
  EXPECT_NE(with([](ss_options& o) { o.core = 10'000; }).find("core"), std::string::npos);
  const std::string longest(200, 'x');
  EXPECT_NE(with([&](ss_options& o) { o.socket_path = longest.c_str(); }).find("socket_path"),
            std::string::npos);
  EXPECT_EQ(ss_lookup_open(nullptr, nullptr, 0), nullptr);
  char tiny[4];
  good.layers = 0;
  EXPECT_EQ(ss_lookup_open(&good, tiny, sizeof tiny), nullptr);
  EXPECT_STREQ(tiny, "lay");
}

TEST(CApi, CalibratedProfilesNeedTheirCalibration) {
  FakePlane plane("c-api-calibration");
  const TestCalibrationFile good(golden_calibration()), damaged(golden_calibration().replace(700, 1, "?"));
  ss_options options = one_part_options();
  options.socket_path = plane.path().c_str();
  for (const char* profile : {"near", "balanced", "far"}) {
    options.profile = profile;
    options.calibration = nullptr;
    for (const bool transfer : {true, false}) {
      EXPECT_EQ(
          refusal(options, transfer),
          "profile \"" + std::string(profile) +
              "\" needs a calibration of this model, and the data plane gave none (it finds one by the "
              "fingerprint of the weights, which nobody read): make one with `shadowserve calibrate "
              "MODEL`, and set calibration to its file or publish it with `shadowserve calibration publish "
              "FILE`");
    }
    options.calibration = good.path().c_str();
    EXPECT_EQ(refusal(options), "");
    EXPECT_EQ(refusal(options, false), "");
  }
  options.calibration = damaged.path().c_str();
  EXPECT_EQ(refusal(options), "calibration " + damaged.path() + " is damaged: its SHA-256 does not fit");
  EXPECT_EQ(refusal(options, false),
            "calibration " + damaged.path() + " is damaged: its SHA-256 does not fit");
  options.calibration = good.path().c_str();
  options.weights_fingerprint = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
  EXPECT_EQ(refusal(options), "");
  options.weights_fingerprint = "100102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
  EXPECT_NE(refusal(options).find("is for weights with fingerprint 0001"), std::string::npos);
  options.weights_fingerprint = nullptr;
  options.profile = "kv4";
  EXPECT_NE(refusal(options).find("but profile \"kv4\" uses none"), std::string::npos);
  options.profile = "balanced+rans";
  EXPECT_NE(refusal(options).find("is unknown"), std::string::npos);
  options.profile = "balance";
  EXPECT_NE(refusal(options).find("did you mean \"balanced\""), std::string::npos);
  options.profile = "balanced";
  options.struct_size = offsetof(ss_options, calibration);
  EXPECT_NE(refusal(options).find("needs a calibration"), std::string::npos) << "a caller of before";
}

TEST(CApi, RecordsOfDifferentCalibrationsHaveDifferentKeys) {
  FakePlane plane("c-api-keys");
  const TestCalibrationFile one(golden_calibration()), same(golden_calibration()), other(other_calibration());
  const auto read = [&](const TestCalibrationFile& file, const char* profile, ClientRole role) {
    ss_options options = one_part_options();
    options.profile = profile;
    options.calibration = file.path().c_str();
    return checked(options, plane.path(), role);
  };
  const ClientOptions first = read(one, "balanced", ClientRole::kTransfer);
  EXPECT_EQ(first.space.profile, "balanced:" + to_hex(first.calibration->hash));
  EXPECT_STREQ(first.hello().profile, "balanced");
  EXPECT_EQ(first.hello().calibration_bytes, golden_calibration().size());
  const auto key = [](const ClientOptions& options) { return root_key(options.space); };
  const ClientOptions lookup = read(same, "balanced", ClientRole::kLookup);
  EXPECT_EQ(key(lookup), key(first)) << "the file's name does not count";
  EXPECT_EQ(lookup.hello().calibration_bytes, 0u) << "who only looks up sends none";
  EXPECT_NE(key(read(other, "balanced", ClientRole::kLookup)), key(first));
  EXPECT_NE(key(read(one, "far", ClientRole::kLookup)), key(first));
}

TEST(CApi, AutoIsBalancedWithACalibrationAndElseGeneric) {
  FakePlane plane("c-api-auto");
  const TestCalibrationFile file(golden_calibration()), damaged(golden_calibration().replace(700, 1, "?"));
  ss_options options = one_part_options();
  const auto read = [&](ClientRole role) { return checked(options, plane.path(), role); };
  for (const char* profile : {"auto", static_cast<const char*>(nullptr)}) {
    options.profile = profile;
    options.calibration = nullptr;
    const ClientOptions without = read(ClientRole::kTransfer);
    EXPECT_EQ(without.space.profile, "generic");
    EXPECT_STREQ(without.hello().profile, "generic");
    EXPECT_EQ(
        without.profile_reason,
        "the data plane gave no calibration of this model (it finds one by the fingerprint of the weights, "
        "which nobody read)");
    options.calibration = file.path().c_str();
    const ClientOptions with = read(ClientRole::kTransfer);
    EXPECT_EQ(with.space.profile, "balanced:" + to_hex(with.calibration->hash));
    EXPECT_STREQ(with.hello().profile, "balanced");
    EXPECT_EQ(with.profile_reason, "the engine has the calibration " + file.path());
  }
  options.socket_path = plane.path().c_str();
  options.calibration = damaged.path().c_str();
  EXPECT_NE(refusal(options).find("is damaged"), std::string::npos) << "a file that was named has to be good";
}

TEST(CApi, ALookupTakesTheProfileThatItsTransferUses) {
  FakePlane plane("c-api-handed-on");
  const TestCalibrationFile file(golden_calibration());
  ss_options options = one_part_options();
  options.socket_path = plane.path().c_str();
  options.profile = nullptr;
  options.calibration = file.path().c_str();
  char message[512] = "";
  ss_transfer* const transfer = ss_transfer_open(&options, message, sizeof message);
  ASSERT_NE(transfer, nullptr) << message;
  const std::string in_use = ss_transfer_profile(transfer);
  EXPECT_EQ(std::string(ss_transfer_profile_reason(transfer)).find("the engine has"), 0u);
  ss_transfer_close(transfer);
  EXPECT_EQ(in_use.size(), std::string("balanced:").size() + 64);

  const ClientOptions own = checked(options, plane.path(), ClientRole::kLookup);
  options.profile = in_use.c_str();
  options.calibration = nullptr;
  const ClientOptions handed_on = checked(options, plane.path(), ClientRole::kLookup);
  EXPECT_EQ(root_key(handed_on.space), root_key(own.space));
  EXPECT_STREQ(handed_on.hello().profile, "balanced");
  ss_lookup* const lookup = ss_lookup_open(&options, message, sizeof message);
  ASSERT_NE(lookup, nullptr) << message;
  EXPECT_EQ(ss_lookup_profile(lookup), in_use);
  ss_lookup_close(lookup);
  EXPECT_NE(refusal(options).find("is unknown"), std::string::npos)
      << "who codes needs the calibration itself";
  options.profile = "kv4:00";
  EXPECT_NE(refusal(options, false).find("is unknown"), std::string::npos);
}

TEST(CApi, NamesAndVersion) {
  EXPECT_STREQ(ss_error_name(1), "miss");
  EXPECT_STREQ(ss_error_name(999), "unknown");
  EXPECT_NE(std::string(ss_error_sentence(13)).find("data plane"), std::string::npos);
  EXPECT_STREQ(ss_version(), SHADOWSERVE_VERSION);
}

template <typename Done>
void wait_for(Done done) {
  bool is_done = done();
  for (int i = 0; i < 10'000 && !is_done; ++i, is_done = done()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_TRUE(is_done);
}

TEST(CApi, SaveLookUpFetch) {
  FakePlane plane("c-api");
  plane.start();
  ss_options options = one_part_options();
  options.socket_path = plane.path().c_str();
  char message[512] = "";
  ss_lookup* lookup = ss_lookup_open(&options, message, sizeof message);
  ss_transfer* transfer = ss_transfer_open(&options, message, sizeof message);
  ASSERT_TRUE(lookup != nullptr && transfer != nullptr) << message;
  TestPages pages({2, 2, 16, 64, ElementType::kBf16}, 16);
  pages.fill_random(1);
  ASSERT_EQ(ss_transfer_register_pages(transfer, &pages.described, message, sizeof message), 0) << message;
  wait_for([&] {
    ss_lookup_stats stats;
    ss_lookup_read_stats(lookup, &stats);
    return stats.connected != 0;
  });

  std::vector<uint32_t> tokens(200);
  std::iota(tokens.begin(), tokens.end(), 5);
  std::vector<ChunkKey> keys(ss_chain(lookup, nullptr, tokens.data(), tokens.size(), nullptr, 0, nullptr, 0));
  ASSERT_EQ(keys.size(), 3u);
  auto* bytes = reinterpret_cast<uint8_t*>(keys.data());
  EXPECT_EQ(ss_chain(lookup, nullptr, tokens.data(), tokens.size(), nullptr, 0, bytes, keys.size()), 3u);
  EXPECT_EQ(ss_lookup_claim_save(lookup, bytes), 1);
  EXPECT_EQ(ss_lookup_claim_save(lookup, bytes), 0);

  std::vector<int32_t> ids(6);
  std::iota(ids.begin(), ids.end(), 0);
  ASSERT_EQ(ss_save(transfer, 1, bytes, 0, 3, ids.data(), ids.size()), 0);
  ss_event event{};
  wait_for([&] { return ss_transfer_poll(transfer, &event, 1) == 1; });
  EXPECT_EQ(event.kind, static_cast<uint32_t>(SS_GATHERED));
  ss_transfer_stats stats;
  wait_for([&] {
    ss_transfer_read_stats(transfer, &stats);
    return stats.save_stored == 3;
  });
  ss_lookup_start(lookup, 1, bytes, 3);
  wait_for([&] { return ss_lookup_poll(lookup, 1) != SS_PENDING; });
  EXPECT_EQ(ss_lookup_poll(lookup, 1), 3);
  ss_lookup_forget(lookup, 1);

  std::iota(ids.begin(), ids.end(), 8);
  ASSERT_EQ(ss_fetch(transfer, 2, bytes, 0, 3, 0, ids.data(), ids.size()), 0);
  wait_for([&] { return ss_transfer_poll(transfer, &event, 1) == 1; });
  EXPECT_EQ(event.chunks_placed, 3u);
  for (int page = 0; page < 6; ++page) EXPECT_TRUE(pages.same_token(pages, 8 + page, page, 31));
  EXPECT_FALSE(pages.same_token(pages, 8, 1, 0)) << "negative control";
  ss_lookup_close(lookup);
  ss_transfer_close(transfer);
}

TEST(CApi, PagesAreChecked) {
  FakePlane plane("c-api-pages");
  ss_options options = one_part_options();
  options.socket_path = plane.path().c_str();
  char message[512] = "";
  ss_transfer* transfer = ss_transfer_open(&options, message, sizeof message);
  ASSERT_NE(transfer, nullptr);
  TestPages pages({2, 2, 16, 64, ElementType::kBf16}, 16);
  const auto refused = [&](auto change) {
    ss_pages given = pages.described;
    change(given);
    EXPECT_NE(ss_transfer_register_pages(transfer, &given, message, sizeof message), 0);
    return std::string(message);
  };
  EXPECT_NE(refused([](ss_pages& p) { p.layers = 3; }).find("3 pointers"), std::string::npos);
  EXPECT_NE(refused([](ss_pages& p) { p.page_tokens = 48; }).find("48"), std::string::npos);
  EXPECT_NE(refused([](ss_pages& p) { p.layer_base = nullptr; }).find("layer_base"), std::string::npos);
  EXPECT_NE(refused([](ss_pages& p) { p.page_stride_bytes = 7; }).find("page_stride_bytes"),
            std::string::npos);
  EXPECT_NE(refused([](ss_pages& p) { p.layout = 9; }).find("layout"), std::string::npos);
  EXPECT_NE(refused([](ss_pages& p) { p.layout = SS_PAGES_STRIDED; }).find("layout"), std::string::npos);
  EXPECT_EQ(ss_save(transfer, 1, raw(test_keys(1)), 0, 1, nullptr, 0), static_cast<ss_error>(Error::kConfig));
  ss_event event{};
  EXPECT_EQ(ss_transfer_poll(transfer, &event, 1), 1u);
  EXPECT_EQ(ss_transfer_register_pages(transfer, &pages.described, message, sizeof message), 0) << message;
  EXPECT_NE(refused([](ss_pages&) {}).find("already"), std::string::npos);
  EXPECT_EQ(ss_transfer_fence(transfer, nullptr), static_cast<ss_error>(Error::kConfig)) << "host memory";
  ss_transfer_close(transfer);
}

TEST(CApi, PagesAreAsLargeAsWhatIsPlacedInThem) {
  ss_page_shape shape{SS_PAGES_PLAIN,      16, 2, 8, 0, 0,
                      2 * 16 * 8 * 2 + 100};  // bf16, K and V where nothing is said
  uint64_t values = 0, page = 0;
  ASSERT_EQ(ss_page_bytes(&shape, &values, &page), 0);
  EXPECT_EQ(values, 2u * 16 * 2 * 8 * 2);
  EXPECT_EQ(page, values + 100);
  // Not a byte more is written.
  const std::vector<std::byte> ones(values, std::byte{1});
  std::vector<std::byte> placed(page + 8), back(values);
  ASSERT_EQ(ss_place_page(&shape, ones.data(), placed.data()), 0);
  EXPECT_EQ(std::count(placed.begin(), placed.end(), std::byte{1}), static_cast<ptrdiff_t>(values));
  EXPECT_EQ(std::count(placed.end() - 8, placed.end(), std::byte{0}), 8);
  ASSERT_EQ(ss_gather_page(&shape, placed.data(), back.data()), 0);
  EXPECT_EQ(back, ones);
  shape.planes_per_layer = 3;
  EXPECT_NE(ss_page_bytes(&shape, &values, &page), 0);
}

TEST(CApi, AGpuThatIsNotThereIsNamed) {
  ss_options options = one_part_options();
  options.device = 1 + 4711;
  char message[512] = "";
  EXPECT_EQ(ss_transfer_open(&options, message, sizeof message), nullptr);
  EXPECT_NE(std::string(message).find("device is 4712"), std::string::npos) << message;
  ss_lookup* lookup = ss_lookup_open(&options, message, sizeof message);
  EXPECT_NE(lookup, nullptr) << "looking up needs none: " << message;
  ss_lookup_close(lookup);
}

TEST(CApi, DirectPagesAreOnAGpu) {
  ss_options options = one_part_options();
  options.direct_pages = 1;
  char message[512] = "";
  EXPECT_EQ(ss_transfer_open(&options, message, sizeof message), nullptr);
  EXPECT_NE(std::string(message).find("direct_pages is for pages on a GPU"), std::string::npos) << message;
  ss_lookup* lookup = ss_lookup_open(&options, message, sizeof message);
  EXPECT_NE(lookup, nullptr) << "looking up has no pages: " << message;
  ss_lookup_close(lookup);
}

}  // namespace
}  // namespace shadowserve
