// Records for the simulated server.
#include <cstring>
#include <random>

#include "codec/element.h"
#include "sim/nic/fetch_simulation.h"

namespace shadowserve::nic {
namespace {

constexpr uint32_t kWideEvery = 32;

}  // namespace

std::vector<std::byte> made_up_chunk(const KvGeometry& geometry, float wide) {
  std::minstd_rand random(7);
  std::vector<std::byte> chunk(geometry.chunk_bytes());
  for (size_t i = 0; i < chunk.size() / kElementBytes; ++i) {
    float sum = 0;  // of four uniform numbers: bell-shaped enough
    for (int k = 0; k < 4; ++k) sum += static_cast<float>(random() % 4096) / 2048 - 1;
    if (i % geometry.channels() % kWideEvery == 0) sum *= wide;
    const uint16_t bits = element::from_float(sum, geometry.element);
    std::memcpy(chunk.data() + i * kElementBytes, &bits, sizeof bits);
  }
  return chunk;
}

Result<RecordSet> make_records(const Profile& profile, std::shared_ptr<const CalibratedModel> model,
                               const KvGeometry& geometry, std::span<const std::byte> chunk) {
  RecordSet set;
  set.profile = profile;
  set.model = std::move(model);
  set.geometry = geometry;
  set.profile.model = set.model.get();
  const std::string name = "simulated chunk";
  std::memcpy(set.key.data(), name.data(), name.size());
  std::vector<std::byte> record(kRecordBytesMax + kRegionSlack);
  auto view = std::make_unique<RecordView>();
  for (uint32_t part = 0; part < geometry.parts(); ++part) {
    const PartShape shape = part_shape(geometry, part);
    const auto values = chunk.subspan(shape.plane_first * geometry.plane_bytes(), shape.value_bytes());
    const auto size = encode_part(set.profile, shape, set.key, SealKind::kXxh3, ChunkKey{}, values, record);
    if (!size) return fail(size.error());
    const auto made = std::span<const std::byte>(record).first(*size);
    if (const auto opened = open_record(made, shape, set.key, ChunkKey{}, *view); !opened) {
      return fail(opened.error());
    }
    for (uint32_t frame = 0; frame < view->frame_count(); ++frame) {
      set.coded_bytes += view->frame(frame).coded.size();
      set.symbol_bytes += view->frame(frame).entry.symbol_bytes;
      set.scale_bytes += view->frame(frame).scales.size();
    }
    set.value_bytes += shape.value_bytes();
    set.record_bytes += *size;
    set.shelf[std::string(StoreKey(set.key, part).view())].assign(made.begin(), made.end());
  }
  return set;
}

}  // namespace shadowserve::nic
