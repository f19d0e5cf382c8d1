// Cuts a part into frames and quantizes each of them.
#include <algorithm>

#include "chunk/record_frames.h"
#include "codec/calibrated/calibrated_frames.h"
#include "codec/codec.h"
#include "codec/element.h"
#include "codec/frame_kernel.h"
#include "codec/spread.h"
#include "contract/check.h"

namespace shadowserve {
namespace {

/// Tokens of every frame of a plane but the last: as many as fit, whole groups where there are any.
uint32_t tokens_per_frame(PlaneRecipe& recipe, const KvGeometry& geometry) {
  const size_t row = symbol_row_bytes(recipe.packing, geometry.channels(), geometry.element);
  auto tokens = static_cast<uint32_t>(std::min<size_t>(kFrameBytesMax / row, geometry.chunk_tokens));
  SS_CHECK(tokens > 0, "validate() refuses tokens that do not fit a frame");
  if (recipe.quantizer != QuantizerId::kChannelAsym) return tokens;
  if (tokens >= recipe.group_tokens) {
    const bool whole_plane = tokens == geometry.chunk_tokens;
    return whole_plane ? tokens : tokens - tokens % recipe.group_tokens;
  }
  recipe.group_tokens = static_cast<uint16_t>(tokens);  // very wide models: a group is a frame
  return tokens;
}

bool has_scales(const KvGeometry& geometry, const uint8_t* values) {
  const uint16_t magnitude = largest_magnitude_simd(values, geometry.plane_values());
  return magnitude < element::magnitude_end(geometry.element);
}

PlaneRecipe raw_recipe(const KvGeometry& geometry, uint32_t plane, std::optional<CoderId> coder) {
  return Profile{ProfileId::kRaw, coder, nullptr}.recipe(geometry, plane);
}

PlaneRecipe recipe_for(const Profile& profile, const KvGeometry& geometry, uint32_t plane,
                       const uint8_t* values) {
  const PlaneRecipe recipe = profile.recipe(geometry, plane);
  const bool fits = recipe.quantizer == QuantizerId::kRaw || has_scales(geometry, values);
  return fits ? recipe : raw_recipe(geometry, plane, profile.coder);
}

FrameEntry frame_entry(const PlaneRecipe& recipe, const KvGeometry& geometry, uint32_t plane, uint32_t token,
                       uint32_t tokens) {
  FrameEntry entry{};
  entry.plane = plane;
  entry.token_first = static_cast<uint16_t>(token);
  entry.token_count = static_cast<uint16_t>(tokens);
  entry.quantizer = static_cast<uint8_t>(recipe.quantizer);
  entry.packing = static_cast<uint8_t>(recipe.packing);
  entry.coder = static_cast<uint8_t>(recipe.coder);
  entry.levels = recipe.levels;
  entry.group_tokens = recipe.group_tokens;
  if (recipe.quantizer == QuantizerId::kTokenSym) {
    entry.group_heads =
        recipe.group_heads == 0 ? static_cast<uint16_t>(geometry.kv_heads) : recipe.group_heads;
  }
  entry.symbol_bytes =
      static_cast<uint32_t>(tokens * symbol_row_bytes(recipe.packing, geometry.channels(), geometry.element));
  entry.scale_bytes = static_cast<uint32_t>(frame_scale_bytes(entry, geometry));
  return entry;
}

/// Frames of a part, one behind the other in the plan and its regions.
class PlanWriter {
 public:
  PlanWriter(EncodePlan& plan, const PartShape& shape, std::span<std::byte> symbols,
             std::span<std::byte> scales)
      : plan_(plan), symbols_(symbols), scales_(scales) {
    plan_.shape = shape;
    plan_.frame_count = 0;
    plan_.scale_bytes = 0;
  }
  bool has_room(size_t scale_bytes) const {
    return plan_.frame_count < kFramesPerRecordMax && scale_bytes <= kScaleBytesMax - plan_.scale_bytes;
  }
  uint8_t* symbols() { return reinterpret_cast<uint8_t*>(symbols_.data()) + symbol_at_; }
  std::span<std::byte> scales() { return scales_.first(kScaleBytesMax).subspan(plan_.scale_bytes); }
  /// The frame's symbols and scales lie where the last two said. REQUIRES has_room().
  void add(const FrameEntry& entry) {
    SS_CHECK(symbol_at_ + entry.symbol_bytes <= symbols_.size(), "packed symbols never outgrow the values");
    plan_.frames[plan_.frame_count] = entry;
    plan_.symbol_offset[plan_.frame_count] = symbol_at_;
    plan_.scale_offset[plan_.frame_count] = plan_.scale_bytes;
    ++plan_.frame_count;
    symbol_at_ += align_up(entry.symbol_bytes, kSymbolAlign);
    // Kept rows begin behind scales, at even addresses.
    plan_.scale_bytes += align_up(entry.scale_bytes, 2);
  }

 private:
  EncodePlan& plan_;
  std::span<std::byte> symbols_, scales_;
  size_t symbol_at_ = 0;
};

Result<void> plain_plane(PlaneRecipe recipe, const KvGeometry& geometry, uint32_t plane,
                         const uint8_t* values, PlanWriter& writer) {
  const size_t row_bytes = geometry.row_bytes();
  const uint32_t step = tokens_per_frame(recipe, geometry);
  for (uint32_t token = 0; token < geometry.chunk_tokens; token += step) {
    const uint32_t tokens = std::min(step, geometry.chunk_tokens - token);
    const FrameEntry entry = frame_entry(recipe, geometry, plane, token, tokens);
    if (!writer.has_room(entry.scale_bytes)) return fail(Error::kNoCapacity);
    quantize_frame_simd(FrameShape::of(entry, geometry), values + token * row_bytes, writer.symbols(),
                        reinterpret_cast<uint8_t*>(writer.scales().data()));
    writer.add(entry);
  }
  return {};
}

/// A frame of a plane whose symbols and scales are written, with its kept rows behind them.
Result<void> add_with_kept(FrameEntry entry, const LayerKept& kept, std::span<const Patch> patches,
                           const KvGeometry& geometry, const uint8_t* values, PlanWriter& writer) {
  const TokenRun tokens{entry.token_first, entry.token_count};
  const auto room = writer.scales().subspan(entry.scale_bytes);
  const size_t bytes = write_kept_rows(kept, patches, geometry, tokens, values, room);
  if (bytes == 0) return fail(Error::kNoCapacity);
  entry.quantizer |= kKeepsRows;
  entry.scale_bytes += static_cast<uint32_t>(bytes);
  writer.add(entry);
  return {};
}

Result<void> add_calibrated_frames(const QuantizedPlane& quantized, const LayerKept& kept,
                                   const KvGeometry& geometry, uint32_t plane, const uint8_t* values,
                                   PlanWriter& writer) {
  const PlaneRecipe recipe{QuantizerId::kCalibrated, 0, 0, 0, PackingId::kBytes, CoderId::kRans};
  const uint32_t step = calibrated_tokens_per_frame(geometry);
  for (uint32_t token = 0; token < geometry.chunk_tokens; token += step) {
    const uint32_t tokens = std::min(step, geometry.chunk_tokens - token);
    const FrameEntry entry = frame_entry(recipe, geometry, plane, token, tokens);
    if (!writer.has_room(entry.scale_bytes)) return fail(Error::kNoCapacity);
    const auto patches = std::span(quantized.patches).first(quantized.patch_count);
    if (auto added = add_with_kept(entry, kept, patches, geometry, values, writer); !added) return added;
  }
  return {};
}

/// K and V of a layer. False, and nothing added, when they have values that the calibration does not fit.
Result<bool> calibrated_layer(const CalibratedModel& model, const PartShape& shape, uint32_t key_plane,
                              const uint8_t* keys, PlanWriter& writer) {
  const KvGeometry& geometry = shape.geometry;
  const uint8_t* const values = keys + geometry.plane_bytes();
  if (!has_scales(geometry, keys) || !has_scales(geometry, values)) return false;
  const CalibratedPlane &key = model.plane(key_plane), &value = model.plane(key_plane + 1);
  Turn chunk;
  if (key.turns != nullptr) key.turns->at_chunk(shape.first_position, chunk);
  QuantizedPlane quantized_keys, quantized_values;
  LayerKept kept;
  uint8_t* const key_symbols = writer.symbols();
  quantize_plane(key, geometry, chunk, keys, key_symbols, quantized_keys);
  uint8_t* const value_symbols = key_symbols + calibrated_symbol_bytes(geometry);
  quantize_plane(value, geometry, chunk, values, value_symbols, quantized_values);
  if (quantized_keys.too_wide || quantized_values.too_wide) return false;
  choose_kept({quantized_keys.cosines, geometry.chunk_tokens}, shape.first_position, model.sinks(), kept);
  blank_kept(key, geometry, kept, key_symbols);
  blank_kept(value, geometry, kept, value_symbols);
  if (auto added = add_calibrated_frames(quantized_keys, kept, geometry, key_plane, keys, writer); !added)
    return fail(added.error());
  if (auto added = add_calibrated_frames(quantized_values, kept, geometry, key_plane + 1, values, writer);
      !added)
    return fail(added.error());
  return true;
}

/// Squares of larger ones would overflow; nobody's KV is like that.
constexpr uint16_t kSpreadMagnitudeEnd = 0x5D80;  // 2^60 as bf16, beyond all fp16

bool may_spread(const KvGeometry& geometry, const uint8_t* values) {
  const bool bf16 = geometry.element == ElementType::kBf16;
  const uint16_t end = bf16 ? kSpreadMagnitudeEnd : element::magnitude_end(ElementType::kFp16);
  return geometry.channels() <= kSpreadChannelsMax &&
         largest_magnitude_simd(values, geometry.plane_values()) < end;
}

/// One plane whose kept tokens are known.
Result<void> spread_plane(const Profile& profile, const KvGeometry& geometry, uint32_t plane,
                          const uint8_t* values, const LayerKept& kept, PlanWriter& writer) {
  PlaneRecipe recipe = profile.recipe(geometry, plane);
  const uint32_t step = tokens_per_frame(recipe, geometry);
  for (uint32_t token = 0; token < geometry.chunk_tokens; token += step) {
    const uint32_t tokens = std::min(step, geometry.chunk_tokens - token);
    const FrameEntry entry = frame_entry(recipe, geometry, plane, token, tokens);
    if (!writer.has_room(entry.scale_bytes)) return fail(Error::kNoCapacity);
    const uint8_t* const from = values + size_t{token} * geometry.channels() * kElementBytes;
    uint16_t aside[kChunkTokensMax + 1];
    const auto frame_aside = std::span(aside).first(kept.within({token, tokens}, aside));
    const auto spread = recipe.quantizer == QuantizerId::kTokenSym ? spread_tokens : spread_channels;
    spread(geometry, tokens, from, frame_aside, writer.symbols(),
           reinterpret_cast<uint8_t*>(writer.scales().data()));
    if (auto added = add_with_kept(entry, kept, {}, geometry, values, writer); !added) return added;
  }
  return {};
}

/// Planes of a layer, one or two of them, under `generic`. Sinks can be told only where V is there.
Result<void> generic_planes(const Profile& profile, const PartShape& shape, uint32_t plane,
                            std::span<const uint8_t* const> planes, PlanWriter& writer) {
  const KvGeometry& geometry = shape.geometry;
  float likeness[kChunkTokensMax];
  LayerKept kept;
  bool fits[2] = {};
  for (uint32_t i = 0; i < planes.size(); ++i) fits[i] = may_spread(geometry, planes[i]);
  const bool layer = fits[1];
  if (layer) sink_likeness(geometry, planes[1], likeness);
  const std::span<const float> candidates(likeness, geometry.chunk_tokens);
  const uint32_t sinks = layer ? count_sinks(candidates.subspan(shape.first_position == 0 ? 1 : 0)) : 0;
  choose_kept(candidates, shape.first_position, sinks, kept);
  for (uint32_t i = 0; i < planes.size(); ++i) {
    const auto done = fits[i] ? spread_plane(profile, geometry, plane + i, planes[i], kept, writer)
                              : plain_plane(raw_recipe(geometry, plane + i, profile.coder), geometry,
                                            plane + i, planes[i], writer);
    if (!done) return done;
  }
  return {};
}

size_t plane_scale_bytes(PlaneRecipe recipe, const KvGeometry& geometry, uint32_t plane) {
  const uint32_t step = tokens_per_frame(recipe, geometry);
  size_t bytes = 0;
  for (uint32_t token = 0; token < geometry.chunk_tokens; token += step) {
    const uint32_t tokens = std::min(step, geometry.chunk_tokens - token);
    bytes += align_up(frame_entry(recipe, geometry, plane, token, tokens).scale_bytes, 2);
  }
  return bytes;
}

}  // namespace

bool scales_fit(const Profile& profile, const KvGeometry& geometry) {
  if (profile.calibrated()) return true;  // its model was made for this geometry
  for (uint32_t part = 0; part < geometry.parts(); ++part) {
    const PartShape shape = part_shape(geometry, part);
    size_t bytes = 0;
    for (uint32_t i = 0; i < shape.plane_count; ++i) {
      const uint32_t plane = shape.plane_first + i;
      bytes += plane_scale_bytes(profile.recipe(geometry, plane), geometry, plane);
    }
    if (bytes > kScaleBytesMax) return false;
  }
  return true;
}

Result<void> quantize_part(const Profile& profile, const PartShape& shape, std::span<const std::byte> values,
                           std::span<std::byte> symbols, std::span<std::byte> scales, EncodePlan& plan) {
  SS_CHECK(values.size() >= shape.value_bytes() && symbols.size() >= kSymbolBytesMax &&
               scales.size() >= kScaleBytesMax,
           "the slot's regions hold any part");
  if (!profile.suits(shape.geometry)) return fail(Error::kConfig);
  if (profile.calibrated() && (profile.model == nullptr || profile.model->geometry() != shape.geometry))
    return fail(Error::kConfig);
  const KvGeometry& geometry = shape.geometry;
  PlanWriter writer(plan, shape, symbols, scales);
  const auto plane_values = [&](uint32_t i) {
    return reinterpret_cast<const uint8_t*>(values.data()) + i * geometry.plane_bytes();
  };
  for (uint32_t i = 0; i < shape.plane_count; ++i) {
    const uint32_t plane = shape.plane_first + i;
    if (profile.calibrated()) {
      const auto layer = calibrated_layer(*profile.model, shape, plane, plane_values(i), writer);
      if (!layer) return fail(layer.error());
      if (!*layer) {
        for (const uint32_t raw : {i, i + 1}) {
          const PlaneRecipe recipe = raw_recipe(geometry, shape.plane_first + raw, CoderId::kZstd);
          auto done = plain_plane(recipe, geometry, shape.plane_first + raw, plane_values(raw), writer);
          if (!done) return done;
        }
      }
      ++i;
      continue;
    }
    if (profile.id == ProfileId::kGeneric) {
      const bool both = !geometry.latent() && geometry.kind_of(plane) == 0 && i + 1 < shape.plane_count;
      const uint8_t* const planes[] = {plane_values(i), both ? plane_values(i + 1) : nullptr};
      auto done = generic_planes(profile, shape, plane, std::span(planes).first(both ? 2 : 1), writer);
      if (!done) return done;
      i += both ? 1 : 0;
      continue;
    }
    const PlaneRecipe recipe = recipe_for(profile, geometry, plane, plane_values(i));
    if (auto done = plain_plane(recipe, geometry, plane, plane_values(i), writer); !done) return done;
  }
  return {};
}

}  // namespace shadowserve
