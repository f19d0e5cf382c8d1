// Parts of the bench's chunks, and what a decode has to give for them.
#include "bench/bench_input.h"

#include "codec/frame_kernel.h"
#include "command.h"

namespace shadowserve {
namespace {

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
    dequantize_frame_oracle(FrameShape::of(entry, geometry),
                            reinterpret_cast<const uint8_t*>(symbols.data()) + plan.symbol_offset[i],
                            reinterpret_cast<const uint8_t*>(scales.data()) + plan.scale_offset[i],
                            reinterpret_cast<uint8_t*>(made.data()) + value_at);
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
