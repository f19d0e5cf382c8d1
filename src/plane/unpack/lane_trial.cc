// The sample is small enough that a start hardly takes longer.
#include "plane/unpack/lane_trial.h"

#include <string>
#include <vector>

#include "codec/calibrated/sample_calibration.h"
#include "contract/check.h"
#include "plane/unpack/lane_sample.h"

namespace shadowserve {
namespace {

constexpr KvGeometry kSampleGeometry{1, 4, 128, kChunkTokensDefault, ElementType::kBf16};
constexpr int kRounds = 4;  // the first ones warm caches and clocks up; later ones weigh more

}  // namespace

void try_lane(const Clock& clock, CoderWorkspace& workspace, LaneSpeed& speed) {
  LaneSample sample(part_shape(kSampleGeometry, 0));
  FrameDecoder decoder(workspace);
  std::vector<std::byte> values(sample.value_bytes() + 64);
  const size_t shift = 64 - reinterpret_cast<uintptr_t>(values.data()) % 64;
  const auto aligned = std::span(values).subspan(shift % 64, sample.value_bytes());
  for (const std::string_view name : profile_names()) {
    Profile profile = *profile_from_name(name);
    const auto model = profile.calibrated() ? sample_model(kSampleGeometry, name) : nullptr;
    SS_CHECK(model || !profile.calibrated(), "a sample calibration fits the geometry it is made for");
    profile.model = model.get();
    if (!sample.encode(profile)) continue;
    for (int round = 0; round < kRounds; ++round) {
      const uint64_t start = clock.now_ns();
      if (!sample.unpack(decoder, aligned)) break;
      speed.note(profile.id, aligned.size(), clock.now_ns() - start);
    }
  }
}

}  // namespace shadowserve
