// Calibrated chunks saved by one engine and fetched by another through the real data plane.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "codec/calibrated/calibrated_model.h"
#include "codec/calibrated/sample_calibration.h"
#include "codec/codec.h"
#include "fuzz/calibration_mutant.h"
#include "link/link_engine.h"
#include "memory/frozen_heap.h"

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

INSTANTIATE_TEST_SUITE_P(Ways, CalibratedTransfer, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "SeparateStages" : "OnePass"; });

TEST(CalibratedEngines, AreRefusedByNameBeforeTheyServe) {
  ThreadedPlane plane("memory:");
  const SampleFile sample(1);
  EXPECT_EQ(refusal(sample.options("balanced")), "") << "negative control";
  EXPECT_EQ(
      refusal(engine_options("balanced")),
      "profile \"balanced\" needs a calibration of this model: make one with `shadowserve calibrate MODEL` "
      "and set calibration to its file");
  auto damaged = sample.bytes;
  damaged[damaged.size() / 2] ^= std::byte{1};
  sample.write(damaged);
  EXPECT_EQ(refusal(sample.options("balanced")),
            "calibration " + sample.path + " is damaged: its SHA-256 does not fit");
}

}  // namespace
}  // namespace shadowserve
