// Calibrated chunks saved by one engine and fetched by another through the real data plane.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "codec/calibrated/calibrated_model.h"
#include "codec/calibrated/sample_calibration.h"
#include "codec/codec.h"
#include "fuzz/calibration_mutant.h"
#include "link/network_engine.h"
#include "memory/frozen_heap.h"
#include "wire/calibration_call.h"
#include "world/stopwatch_trial.h"

namespace shadowserve {
namespace {

constexpr KvGeometry kGeometry{kLayers, kHeads, kDim, 256, ElementType::kBf16};

/// A calibration of the test's model, different for each seed: in a file, and as the codec reads it.
class SampleFile {
 public:
  explicit SampleFile(uint32_t seed) : path(scratch("sample-" + std::to_string(seed) + ".cal")) {
    const auto rotation = sample_rotation(kDim, RotationPairing::kHalves);
    bytes = write_calibration(sample_calibration(kGeometry, rotation, seed));
    write(bytes);
  }
  ~SampleFile() { std::filesystem::remove(path); }
  void write(const std::vector<std::byte>& content) const {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
  }
  std::shared_ptr<const CalibratedModel> model(const char* point) const {
    std::string message;
    return CalibratedModel::make(*read_calibration(bytes, message), point, kGeometry, message).value();
  }
  ss_options options(const char* profile) const {
    ss_options options = engine_options(profile);
    options.calibration = path.c_str();
    return options;
  }
  const std::string path;
  std::vector<std::byte> bytes;
};

std::string refusal(const ss_options& options) {
  char message[512] = "";
  ss_transfer* const transfer = ss_transfer_open(&options, message, sizeof message);
  ss_transfer_close(transfer);
  return transfer == nullptr ? message : "";
}

class CalibratedTransfer : public ::testing::TestWithParam<bool> {};

TEST_P(CalibratedTransfer, AnotherEngineFetchesWhatTheCodecGives) {
  [[maybe_unused]] const uint64_t allocations = frozen_allocations();
  ThreadedPlane plane("memory:", /*separate_stages=*/GetParam());
  const SampleFile sample(1);
  for (const char* profile : {"near", "balanced", "far"}) {
    Engine first(sample.options(profile)), second(sample.options(profile));
    first.compute(1);
    second.compute(2);
    const auto keys = first.chain(prompt(1024, 1));
    const auto here = table(3, 8), there = table(20, 8);
    EXPECT_EQ(second.stored(keys), 0) << profile;
    first.save(keys, here);
    ASSERT_EQ(second.stored(keys), 4);
    const ss_event event = second.fetch(keys, there);
    EXPECT_EQ(event.error, 0) << ss_error_name(event.error);
    ASSERT_EQ(event.chunks_placed, 4u);

    const auto model = sample.model(profile);
    Profile codec = *profile_from_name(profile);
    codec.model = model.get();
    std::vector<std::byte> record(kRecordBytesMax), expected;
    for (size_t chunk = 0; chunk < 4; ++chunk) {
      const auto pages_of = [chunk](const std::vector<int32_t>& pages) {
        return std::vector(pages.begin() + 2 * chunk, pages.begin() + 2 * chunk + 2);
      };
      const auto computed = first.canonical(pages_of(here)), fetched = second.canonical(pages_of(there));
      PartShape shape = part_shape(kGeometry, 0);
      shape.first_position = static_cast<uint32_t>(chunk) * 256;
      ASSERT_EQ(kGeometry.parts(), 1u);
      expected.resize(shape.value_bytes());
      const size_t size = encode_part(codec, shape, {}, SealKind::kXxh3, {}, computed, record).value();
      ASSERT_TRUE(decode_part(std::span(record).first(size), shape, {}, {}, expected, model.get()));
      EXPECT_EQ(fetched, expected) << profile << ", chunk " << chunk;
      EXPECT_NE(fetched, computed) << "negative control: it is lossy";
    }
    // The last two chunks alone, as an engine does whose own cache has the others.
    second.compute(3);
    const std::vector<uint8_t> last(keys.begin() + 2 * SS_KEY_BYTES, keys.end());
    ASSERT_EQ(ss_fetch(second.transfer, 77, last.data(), 2, 2, 512, there.data(), there.size()), 0);
    EXPECT_EQ(second.wait_event().chunks_placed, 2u);
    EXPECT_EQ(second.canonical({there[6], there[7]}), expected);
    // In another place of the sequence they would be other values, and are not given out.
    ASSERT_EQ(ss_fetch(second.transfer, 78, last.data(), 1, 2, 256, there.data(), there.size()), 0);
    EXPECT_STREQ(ss_error_name(second.wait_event().error), "record_malformed");
  }
#if !defined(SHADOWSERVE_SANITIZED)
  EXPECT_TRUE(plane.stats()["heap"]["watched"]);
  EXPECT_EQ(plane.stats()["heap"]["allocations_after_start"], allocations);
#endif
}

TEST_P(CalibratedTransfer, AnotherCalibrationMisses) {
  ThreadedPlane plane("memory:", /*separate_stages=*/GetParam());
  const SampleFile sample(1), other(2);
  Engine first(sample.options("balanced")), stranger(other.options("balanced"));
  Engine coarser(sample.options("far")), same(sample.options("balanced"));
  first.compute(1);
  const auto tokens = prompt(512, 4);
  first.save(first.chain(tokens), table(0, 4));
  EXPECT_EQ(stranger.stored(stranger.chain(tokens)), 0);
  EXPECT_EQ(coarser.stored(coarser.chain(tokens)), 0);
  EXPECT_EQ(same.stored(same.chain(tokens)), 2) << "negative control";
}

/// What the calibration of a model of 2 x kHeads says of half its heads.
Calibration half_of(const Calibration& whole, uint32_t half) {
  Calibration out = whole;
  out.kv_heads = kHeads;
  const size_t channels = kHeads * kDim;
  const auto cut = [&](auto& rows) {
    auto kept = rows.begin();
    for (size_t at = half * channels; at < rows.size(); at += 2 * channels) {
      kept = std::copy_n(rows.begin() + static_cast<ptrdiff_t>(at), channels, kept);
    }
    rows.erase(kept, rows.end());
  };
  cut(out.classes), cut(out.base_steps), cut(out.means), cut(out.sink_keys);
  return out;
}

TEST_P(CalibratedTransfer, ShardsCodeTheirHeadsAsTheModelsCalibrationSays) {
  ThreadedPlane plane("memory:", /*separate_stages=*/GetParam());
  KvGeometry whole = kGeometry;
  whole.kv_heads = 2 * kHeads;
  const Calibration calibration =
      sample_calibration(whole, sample_rotation(kDim, RotationPairing::kHalves), 5);
  const SampleFile file(5);
  file.write(write_calibration(calibration));
  std::vector<std::byte> record(kRecordBytesMax), expected;
  std::array<std::vector<std::byte>, 2> fetched;
  for (uint32_t shard = 0; shard < 2; ++shard) {
    ss_options options = file.options("balanced");
    options.shard = shard, options.shard_count = 2;
    Engine first(options), second(options);
    first.compute(1);
    second.compute(2);
    const auto keys = first.chain(prompt(256, 6));
    EXPECT_EQ(second.stored(keys), 0) << "not before both shards are there";
    first.save(keys, {4, 5});
    EXPECT_EQ(second.stored(keys), shard);
    ASSERT_EQ(second.fetch(keys, {8, 9}).chunks_placed, 1u);
    fetched[shard] = second.canonical({8, 9});
    std::string message;
    const auto model =
        CalibratedModel::make(half_of(calibration, shard), "balanced", kGeometry, message).value();
    Profile codec = *profile_from_name("balanced");
    codec.model = model.get();
    const PartShape shape = part_shape(kGeometry, 0);
    expected.resize(shape.value_bytes());
    const size_t size =
        encode_part(codec, shape, {}, SealKind::kXxh3, {}, first.canonical({4, 5}), record).value();
    ASSERT_TRUE(decode_part(std::span(record).first(size), shape, {}, {}, expected, model.get()));
    EXPECT_EQ(fetched[shard], expected) << "shard " << shard;
  }
  EXPECT_NE(fetched[0], fetched[1])
      << "negative control: the same values, and other steps in the other shard";
}

INSTANTIATE_TEST_SUITE_P(Ways, CalibratedTransfer, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "SeparateStages" : "OnePass"; });

TEST(CalibratedEngines, AreRefusedByNameBeforeTheyServe) {
  ThreadedPlane plane("memory:");
  const SampleFile sample(1);
  EXPECT_EQ(refusal(sample.options("balanced")), "") << "negative control";
  EXPECT_NE(refusal(engine_options("balanced")).find("make one with `shadowserve calibrate MODEL`, and set"),
            std::string::npos);
  auto damaged = sample.bytes;
  damaged[damaged.size() / 2] ^= std::byte{1};
  sample.write(damaged);
  EXPECT_EQ(refusal(sample.options("balanced")),
            "calibration " + sample.path + " is damaged: its SHA-256 does not fit");
}

/// As keys name it, and why.
std::pair<std::string, std::string> profile_in_use(const ss_options& options) {
  char message[512] = "";
  ss_transfer* const opened = ss_transfer_open(&options, message, sizeof message);
  EXPECT_NE(opened, nullptr) << message;
  if (opened == nullptr) return {};
  const std::pair<std::string, std::string> in_use(ss_transfer_profile(opened),
                                                   ss_transfer_profile_reason(opened));
  ss_transfer_close(opened);
  return in_use;
}

class PublishedCalibration : public ::testing::TestWithParam<const char*> {
 protected:
  static uint64_t soon_ns() { return MonotonicClock().now_ns() + 5'000 * kNsPerMs; }
  static ss_options options_of(const std::string& weights) {
    ss_options options = engine_options("balanced");
    options.weights_fingerprint = weights.c_str();
    return options;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  const std::string folder_ = scratch("published");
  const std::string url_ = std::string(GetParam()) == "rocksdb" ? "rocksdb:" + folder_ : GetParam();
  const std::string socket_ = engine_options("raw").socket_path;
  std::string message_;
};

TEST_P(PublishedCalibration, EveryEngineOfTheModelFindsIt) {
  const SampleFile sample(1), newer(2);
  const std::string weights(64, '0'), others(64, '1');  // a sample's fingerprint is zeros
  auto plane = std::make_unique<ThreadedPlane>(url_);
  EXPECT_NE(refusal(options_of(weights)).find("none was published for these weights"), std::string::npos);
  ASSERT_TRUE(publish_calibration(socket_, sample.bytes, soon_ns(), message_)) << message_;
  EXPECT_EQ(fetch_calibration(socket_, {}, soon_ns(), message_).value(), sample.bytes);
  EXPECT_NE(refusal(options_of(others)).find("none was published"), std::string::npos) << "another model";

  const auto tokens = prompt(512, 4);
  {
    Engine without(options_of(weights)), with(sample.options("balanced"));
    without.compute(1);
    with.compute(2);
    without.save(without.chain(tokens), table(0, 4));
    EXPECT_EQ(with.stored(with.chain(tokens)), 2) << "the same as from the file";
    EXPECT_EQ(with.fetch(with.chain(tokens), table(8, 4)).error, 0);
  }
  // One that is damaged is not kept, and what was kept stays.
  auto damaged = sample.bytes;
  damaged[damaged.size() / 2] ^= std::byte{1};
  EXPECT_EQ(publish_calibration(socket_, damaged, soon_ns(), message_).error(), Error::kConfig);
  EXPECT_EQ(message_, "the calibration is damaged: its SHA-256 does not fit");
  EXPECT_EQ(fetch_calibration(socket_, {}, soon_ns(), message_).value(), sample.bytes);
  ASSERT_TRUE(publish_calibration(socket_, newer.bytes, soon_ns(), message_)) << message_;
  EXPECT_EQ(fetch_calibration(socket_, {}, soon_ns(), message_).value(), newer.bytes)
      << "the last one counts";
  if (url_ == "memory:") return;
  plane.reset();
  plane = std::make_unique<ThreadedPlane>(url_);
  EXPECT_EQ(fetch_calibration(socket_, {}, soon_ns(), message_).value(), newer.bytes) << "it is in the store";
}

TEST_P(PublishedCalibration, AutoUsesItAndNoOtherModels) {
  const SampleFile sample(1);
  const std::string weights(64, '0'), others(64, '1');
  const auto chosen = [](const std::string& of) {
    ss_options options = options_of(of);
    options.profile = nullptr;
    return profile_in_use(options);
  };
  ThreadedPlane plane(url_);
  const std::pair<std::string, std::string> none = {
      "generic", "the data plane gave no calibration of this model (none was published for these weights)"};
  EXPECT_EQ(chosen(weights), none);
  ASSERT_TRUE(publish_calibration(socket_, sample.bytes, soon_ns(), message_)) << message_;
  EXPECT_EQ(chosen(weights).first.find("balanced:"), 0u);
  EXPECT_EQ(chosen(weights).second, "the data plane has a calibration of this model");
  EXPECT_EQ(chosen(others), none) << "negative control: another model's is not used";
}

INSTANTIATE_TEST_SUITE_P(Stores, PublishedCalibration, ::testing::Values("memory:", "rocksdb"),
                         [](const auto& info) { return info.index == 0 ? "Memory" : "Rocksdb"; });

TEST(CalibratedEngines, WaitForAPlaneThatIsJustStartingAndNotForever) {
  const SampleFile sample(1);
  const std::string weights(64, '0');
  ss_options options = engine_options("balanced");
  options.weights_fingerprint = weights.c_str();
  const auto began = std::chrono::steady_clock::now();
  const Stopwatch first;
  EXPECT_NE(refusal(options).find("no data plane answers on"), std::string::npos);
  EXPECT_GT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(4900));
  EXPECT_LT(first.elapsed(), std::chrono::milliseconds(5900));

  options.profile = "auto";
  const Stopwatch second;
  const auto [profile, reason] = profile_in_use(options);
  EXPECT_EQ(profile, "generic") << "not asked in time";
  EXPECT_NE(reason.find("no data plane answers on"), std::string::npos);
  EXPECT_LT(second.elapsed(), std::chrono::milliseconds(5900));
  options.profile = "balanced";

  std::unique_ptr<ThreadedPlane> plane;
  std::thread late([&plane] {
    usleep(500'000);
    plane = std::make_unique<ThreadedPlane>("memory:");
  });
  std::string message;
  const uint64_t by_ns = MonotonicClock().now_ns() + 5'000 * kNsPerMs;
  EXPECT_TRUE(publish_calibration(std::string(options.socket_path), sample.bytes, by_ns, message)) << message;
  late.join();
  EXPECT_EQ(refusal(options), "");
}

TEST(CalibratedNetwork, IsPublishedFetchedAndUsedAcrossMachines) {
  const TestKeys keys;
  const SampleFile sample(1);
  const std::string weights(64, '0'), others(64, '1');
  ThreadedPlane plane(network_plane_options(keys));
  const NetworkOptions network(keys, port_of(plane));
  std::string message;
  const auto far = find_plane(network.address, keys.engine, "", "", message);
  ASSERT_TRUE(far) << message;
  const uint64_t by_ns = MonotonicClock().now_ns() + 5'000 * kNsPerMs;
  EXPECT_EQ(fetch_calibration(*far, {}, by_ns, message).error(), Error::kMiss);
  EXPECT_EQ(message, "none was published for these weights");
  auto damaged = sample.bytes;
  damaged[damaged.size() / 2] ^= std::byte{1};
  EXPECT_EQ(publish_calibration(*far, damaged, by_ns, message).error(), Error::kConfig);
  ASSERT_TRUE(publish_calibration(*far, sample.bytes, by_ns, message)) << message;
  EXPECT_EQ(fetch_calibration(*far, {}, by_ns, message).value(), sample.bytes);

  ss_options options = network.options;
  options.profile = "auto";
  options.weights_fingerprint = others.c_str();
  EXPECT_EQ(profile_in_use(options).first, "generic") << "negative control";
  options.weights_fingerprint = weights.c_str();
  EXPECT_EQ(profile_in_use(options).first.find("balanced:"), 0u);
  // It travels inside the hello, and codes for an engine beside the plane as for one across the network.
  Engine there(options), here(sample.options("balanced"));
  there.compute(1);
  here.compute(2);
  const auto tokens = prompt(512, 4);
  there.save(there.chain(tokens), table(0, 4));
  EXPECT_EQ(here.stored(here.chain(tokens)), 2);
  EXPECT_EQ(here.fetch(here.chain(tokens), table(8, 4)).error, 0);
  there.compute(3);
  EXPECT_EQ(there.fetch(there.chain(tokens), table(8, 4)).error, 0);
  expect_same_pages(there, table(8, 4), here, table(8, 4));
}

TEST(CalibratedNetwork, ACallToNobodyOrToAStrangerEndsWithASentence) {
  const TestKeys keys, foreign("foreign-call");
  std::string message;
  const auto port = static_cast<uint16_t>(RedisProcess::free_port());
  const auto nobody = find_plane(NetworkOptions::tls_address(port), keys.engine, "", "", message);
  ASSERT_TRUE(nobody) << message;
  const Stopwatch took;
  EXPECT_FALSE(fetch_calibration(*nobody, {}, MonotonicClock().now_ns() + 700 * kNsPerMs, message));
  EXPECT_NE(message.find("Connection refused"), std::string::npos) << message;
  EXPECT_LT(took.elapsed(), std::chrono::milliseconds(1500));
  ThreadedPlane plane(network_plane_options(keys));
  const auto stranger =
      find_plane(NetworkOptions::tls_address(port_of(plane)), foreign.engine, "", "", message);
  ASSERT_TRUE(stranger) << message;
  EXPECT_FALSE(fetch_calibration(*stranger, {}, MonotonicClock().now_ns() + 5'000 * kNsPerMs, message));
  EXPECT_NE(message.find("another CA"), std::string::npos) << message;
}

}  // namespace
}  // namespace shadowserve
