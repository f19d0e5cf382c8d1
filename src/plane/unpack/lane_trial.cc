// The sample is bell-shaped noise of one strength: what matters for speed is that symbols have a KV cache's
// entropy.
#include "plane/unpack/lane_trial.h"

#include <cstring>
#include <random>
#include <vector>

#include "codec/element.h"
#include "codec/frame_decoder.h"
#include "codec/frame_kernel.h"

namespace shadowserve {
namespace {

constexpr KvGeometry kSampleGeometry{1, 4, 128, kChunkTokensDefault, ElementType::kBf16};
constexpr int kRounds = 4;  // the first ones warm caches and clocks up; later ones weigh more

std::vector<std::byte> sample_values(const PartShape& shape) {
  std::minstd_rand random(1);
  std::vector<std::byte> values(shape.value_bytes());
  for (size_t i = 0; i < values.size(); i += kElementBytes) {
    float sum = 0;
    for (int k = 0; k < 4; ++k) sum += static_cast<float>(random() % 4096) / 2048 - 1;
    const uint16_t bits = element::to_bf16(sum);
    std::memcpy(values.data() + i, &bits, sizeof bits);
  }
  return values;
}

}  // namespace

void try_lane(const Clock& clock, CoderWorkspace& workspace, LaneSpeed& speed) {
  const PartShape shape = part_shape(kSampleGeometry, 0);
  const auto sample = sample_values(shape);
  FrameDecoder decoder(workspace);
  std::vector<std::byte> record(kRecordBytesMax), values(shape.value_bytes() + 64);
  const size_t shift = 64 - reinterpret_cast<uintptr_t>(values.data()) % 64;
  const auto aligned = std::span(values).subspan(shift % 64, shape.value_bytes());
  for (const std::string_view name : profile_names()) {
    const Profile profile = *profile_from_name(name);
    const auto size = encode_part(profile, shape, ChunkKey{}, SealKind::kXxh3, ChunkKey{}, sample, record);
    RecordView view;
    if (!size) continue;
    for (int round = 0; round < kRounds; ++round) {
      const uint64_t start = clock.now_ns();
      if (!open_record(std::span(record).first(*size), shape, ChunkKey{}, ChunkKey{}, view)) break;
      for (uint32_t frame = 0; frame < view.frame_count(); ++frame) {
        if (!decoder.decode(view, frame, aligned, ValueStores::kStreaming)) break;
      }
      finish_streaming();
      speed.note(profile.id, aligned.size(), clock.now_ns() - start);
    }
  }
}

}  // namespace shadowserve
