// Codec profiles: which quantizer, alphabet and coder each plane gets, chosen by name.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "chunk/record.h"

namespace shadowserve {

class CalibratedModel;

enum class ProfileId : uint8_t { kRaw, kInt8, kKv4, kCacheGen, kGeneric, kNear, kBalanced, kFar };
inline constexpr size_t kProfileCount = 8;

/// What a profile does with one plane.
struct PlaneRecipe {
  QuantizerId quantizer = QuantizerId::kRaw;
  uint8_t levels = 0;
  uint16_t group_tokens = 0;  ///< kChannelAsym
  uint16_t group_heads = 0;   ///< kTokenSym; 0 = all heads share one scale
  PackingId packing = PackingId::kElements;
  CoderId coder = CoderId::kNone;
};

/// `raw`: elements, lossless. `int8`: per token and head, 255 levels. `kv4`: K 16 levels per channel in
/// groups of 128 tokens, V 15 levels per token and head. `cachegen`: the public code's bins, per token over
/// all heads (K 32 bins in layers 0-9 then 16, V 32 in layers 0-1 then 16; `m = bins/2 - 1`, 2m + 1 levels).
/// `generic`: steps from the spread of values, sinks kept (codec/spread.h).
/// A latent plane (MLA) is coded as K is: its rotary channels get steps of their own under `kv4` and
/// `generic`.
/// `near`, `balanced`, `far`: points of a calibration of the model (docs/formats/calibration-v1.md).
struct Profile {
  ProfileId id = ProfileId::kKv4;
  std::optional<CoderId> coder;  ///< forced coder; else the profile's own choice
  /// What calibrated profiles know of the model, at this profile's point; must outlive the profile's use. A
  /// calibrated profile without it codes and decodes nothing.
  const CalibratedModel* model = nullptr;

  /// As profile_from_name() takes it; at most 23 characters.
  std::string_view name() const;
  bool calibrated() const { return id >= ProfileId::kNear; }
  /// Elements of one byte are kept as they are (raw); calibrations know K and V, but no latent planes.
  bool suits(const KvGeometry& geometry) const;
  /// REQUIRES !calibrated() and suits(geometry).
  PlaneRecipe recipe(const KvGeometry& geometry, uint32_t plane) const;
};

/// "near", "balanced", "far"; "raw", "int8", "kv4", "cachegen", "generic", each of these optionally with a
/// coder: "kv4+deflate", "raw+zstd", "kv4+none", "kv4+rans" (what kv4 and cachegen choose themselves; not for
/// raw and int8). "kv4+packed" and "cachegen+packed" are other words for "+none" (symbols stay packed,
/// uncoded). kConfig for anything else.
Result<Profile> profile_from_name(std::string_view name);
/// Every accepted base name, for messages.
std::span<const std::string_view> profile_names();

}  // namespace shadowserve
