// Parts of the bench's chunks, and what a decode has to give for them.
#include "bench/bench_input.h"

#include <cstring>

#include "bench/decode_check.h"
#include "chunk/record_frames.h"
#include "codec/calibrated/calibrated_kernel.h"
#include "codec/frame_kernel.h"
#include "codec/kept_row_values.h"
#include "command.h"

namespace shadowserve {
namespace {

/// `symbols` stand as they are coded: by class, then by token.
void expected_calibrated(const CalibratedModel& model, const PartShape& shape, const FrameEntry& entry,
                         const uint8_t* symbols, uint8_t* values) {
  const CalibratedPlane& plane = model.plane(entry.plane);
  std::vector<uint8_t> rows(entry.symbol_bytes + kRegionSlack);
  for (const ClassRun& run : plane.runs) {
    for (uint32_t t = 0; t < entry.token_count; ++t, symbols += run.channels)
      std::memcpy(rows.data() + size_t{t} * plane.channels + run.first, symbols, run.channels);
  }
  std::vector<float> cos, sin;
  TurnRows turns;
  if (plane.turns != nullptr) {
    Turn chunk;
    plane.turns->at_chunk(shape.first_position, chunk);
    cos.resize(entry.token_count * plane.turns->stride());
    sin.resize(cos.size());
    fill_turns_oracle(*plane.turns, chunk, entry.token_first, entry.token_count, cos.data(), sin.data());
    turns = {cos.data(), sin.data(), plane.turns->stride()};
  }
  dequantize_calibrated_oracle(plane, entry.token_count, turns, rows.data(), values);
}

/// Quantizes a part and dequantizes it with the scalar oracle, no coder between.
void expected_part(const Profile& profile, const PartShape& shape, std::span<const std::byte> values,
                   std::span<std::byte> made) {
  std::vector<std::byte> symbols(kSymbolBytesMax), scales(kScaleBytesMax);
  EncodePlan plan;
  if (!quantize_part(profile, shape, values, symbols, scales, plan)) {
    throw StartError("the scales of a part do not fit a record: try fewer --chunk-tokens");
  }
  const KvGeometry& geometry = shape.geometry;
  for (uint32_t i = 0; i < plan.frame_count; ++i) {
    const FrameEntry& entry = plan.frames[i];
    const size_t value_at = (entry.plane - shape.plane_first) * geometry.plane_bytes() +
                            size_t{entry.token_first} * geometry.channels() * kElementBytes;
    const auto* const frame_symbols =
        reinterpret_cast<const uint8_t*>(symbols.data()) + plan.symbol_offset[i];
    auto* const frame_values = reinterpret_cast<uint8_t*>(made.data()) + value_at;
    const auto frame_scales = std::span(scales).subspan(plan.scale_offset[i], entry.scale_bytes);
    if (quantizer_of(entry) == QuantizerId::kCalibrated) {
      expected_calibrated(*profile.model, shape, entry, frame_symbols, frame_values);
    } else {
      dequantize_frame_oracle(FrameShape::of(entry, geometry), frame_symbols,
                              reinterpret_cast<const uint8_t*>(frame_scales.data()), frame_values);
    }
    if (!keeps_rows(entry)) continue;
    KeptRows kept;
    const auto region = frame_scales.subspan(frame_scale_bytes(entry, geometry));
    if (!KeptRows::parse(region, geometry, entry.token_count, kept))
      throw WrongDecode("kept rows are malformed");
    put_kept_rows(kept, geometry, frame_values);
  }
}

}  // namespace

std::unique_ptr<BenchInput> load_bench_input(const DumpOptions& dump) {
  KvShape parsed = parse_kv_shape(dump.shape, dump.dtype, dump.chunk_tokens);
  if (parsed.tokens < dump.chunk_tokens) {
    parsed = parse_kv_shape(dump.shape, dump.dtype, parsed.tokens);  // tests only
  }
  const std::vector<std::byte> values =
      dump.made_up() ? made_up_kv(parsed) : read_kv_dump(dump.input, parsed);
  std::vector<std::byte> chunks = cut_into_chunks(values, parsed);
  parsed.tokens -= parsed.tokens % parsed.geometry.chunk_tokens;
  chunks.resize(parsed.bytes());
  return std::make_unique<BenchInput>(parsed, std::move(chunks));
}

std::string coder_name(CoderId coder) {
  const std::string name(Profile{ProfileId::kKv4, coder}.name());
  return name.substr(name.find('+') + 1);
}

size_t BenchInput::value_offset(uint32_t index) const {
  return index / geometry().parts() * geometry().chunk_bytes() +
         part(index).plane_first * geometry().plane_bytes();
}

PartShape BenchInput::part(uint32_t index) const {
  PartShape shape = part_shape(geometry(), index % geometry().parts());
  shape.first_position = chunk_of(index) * geometry().chunk_tokens;
  return shape;
}

std::span<const std::byte> BenchInput::chunk(uint32_t index) const {
  return std::span(chunks_).subspan(index * geometry().chunk_bytes(), geometry().chunk_bytes());
}

std::span<const std::byte> BenchInput::values(uint32_t index) const {
  return std::span(chunks_).subspan(value_offset(index), part(index).value_bytes());
}

std::span<const std::byte> BenchInput::expected(const Profile& profile) {
  if (profile.id == ProfileId::kRaw) return chunks_;
  std::vector<std::byte>& made = expected_[profile.id];
  if (made.empty()) {
    made.resize(chunks_.size());
    for (uint32_t i = 0; i < parts(); ++i) {
      expected_part(profile, part(i), values(i),
                    std::span(made).subspan(value_offset(i), part(i).value_bytes()));
    }
  }
  return made;
}

std::span<const std::byte> BenchInput::expected(const Profile& profile, uint32_t index) {
  return expected(profile).subspan(value_offset(index), part(index).value_bytes());
}

}  // namespace shadowserve
