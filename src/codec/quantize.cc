// Cuts a part into frames and quantizes each of them.
#include <algorithm>

#include "chunk/record_frames.h"
#include "codec/codec.h"
#include "codec/element.h"
#include "codec/frame_kernel.h"
#include "contract/check.h"

namespace shadowserve {
namespace {

/// Tokens of every frame of a plane but the last: as many as fit, whole groups where there are any.
uint32_t tokens_per_frame(PlaneRecipe& recipe, const KvGeometry& geometry) {
  const size_t row = symbol_row_bytes(recipe.packing, geometry.channels());
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

PlaneRecipe recipe_for(const Profile& profile, const KvGeometry& geometry, uint32_t plane,
                       const uint8_t* values) {
  const PlaneRecipe recipe = profile.recipe(geometry, plane);
  if (recipe.quantizer == QuantizerId::kRaw) return recipe;
  const uint16_t magnitude = largest_magnitude_simd(values, geometry.plane_values());
  if (magnitude < element::magnitude_end(geometry.element)) return recipe;
  return Profile{ProfileId::kRaw, profile.coder}.recipe(geometry, plane);
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
  entry.symbol_bytes = static_cast<uint32_t>(tokens * symbol_row_bytes(recipe.packing, geometry.channels()));
  entry.scale_bytes = static_cast<uint32_t>(frame_scale_bytes(entry, geometry));
  return entry;
}

}  // namespace

Result<void> quantize_part(const Profile& profile, const PartShape& shape, std::span<const std::byte> values,
                           std::span<std::byte> symbols, std::span<std::byte> scales, EncodePlan& plan) {
  SS_CHECK(values.size() >= shape.value_bytes() && symbols.size() >= kSymbolBytesMax &&
               scales.size() >= kScaleBytesMax,
           "the slot's regions hold any part");
  const KvGeometry& geometry = shape.geometry;
  const size_t row_bytes = size_t{geometry.channels()} * kElementBytes;
  plan.shape = shape;
  plan.frame_count = 0;
  plan.scale_bytes = 0;
  size_t symbol_at = 0;
  for (uint32_t i = 0; i < shape.plane_count; ++i) {
    const uint32_t plane = shape.plane_first + i;
    const auto* const plane_values =
        reinterpret_cast<const uint8_t*>(values.data()) + i * geometry.plane_bytes();
    PlaneRecipe recipe = recipe_for(profile, geometry, plane, plane_values);
    const uint32_t step = tokens_per_frame(recipe, geometry);
    for (uint32_t token = 0; token < geometry.chunk_tokens; token += step) {
      const uint32_t tokens = std::min(step, geometry.chunk_tokens - token);
      const FrameEntry entry = frame_entry(recipe, geometry, plane, token, tokens);
      if (plan.frame_count == kFramesPerRecordMax || entry.scale_bytes > kScaleBytesMax - plan.scale_bytes) {
        return fail(Error::kNoCapacity);
      }
      SS_CHECK(symbol_at + entry.symbol_bytes <= symbols.size(), "packed symbols never outgrow the values");
      quantize_frame_simd(FrameShape::of(entry, geometry), plane_values + token * row_bytes,
                          reinterpret_cast<uint8_t*>(symbols.data()) + symbol_at,
                          reinterpret_cast<uint8_t*>(scales.data()) + plan.scale_bytes);
      plan.frames[plan.frame_count] = entry;
      plan.symbol_offset[plan.frame_count] = symbol_at;
      plan.scale_offset[plan.frame_count] = plan.scale_bytes;
      ++plan.frame_count;
      symbol_at += align_up(entry.symbol_bytes, kSymbolAlign);
      plan.scale_bytes += entry.scale_bytes;
    }
  }
  return {};
}

}  // namespace shadowserve
