// Values are sums of four uniform numbers, which is bell-shaped enough.
#include "plane/unpack/lane_sample.h"

#include <cstring>
#include <random>

#include "codec/element.h"
#include "codec/frame_kernel.h"

namespace shadowserve {

LaneSample::LaneSample(const PartShape& shape)
    : shape_(shape), values_(shape.value_bytes()), record_(kRecordBytesMax) {
  std::minstd_rand random(1);
  for (size_t i = 0; i < values_.size(); i += kElementBytes) {
    float sum = 0;
    for (int k = 0; k < 4; ++k) sum += static_cast<float>(random() % 4096) / 2048 - 1;
    const uint16_t bits = element::from_float(sum, shape.geometry.element);
    std::memcpy(values_.data() + i, &bits, sizeof bits);
  }
}

bool LaneSample::encode(const Profile& profile) {
  const auto size = encode_part(profile, shape_, ChunkKey{}, SealKind::kXxh3, ChunkKey{}, values_, record_);
  record_bytes_ = size.value_or(0);
  model_ = profile.model;
  return size.has_value();
}

bool LaneSample::unpack(FrameDecoder& decoder, std::span<std::byte> values) {
  const auto record = std::span<const std::byte>(record_).first(record_bytes_);
  bool good = open_record(record, shape_, ChunkKey{}, ChunkKey{}, view_).has_value();
  for (uint32_t frame = 0; good && frame < view_.frame_count(); ++frame) {
    good = decoder.decode(view_, frame, values, ValueStores::kStreaming, model_).has_value();
  }
  finish_streaming();
  return good;
}

}  // namespace shadowserve
