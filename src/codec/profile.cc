// Profiles by name, and the recipe each gives a plane.
#include "codec/profile.h"

#include <algorithm>
#include <array>

#include "codec/spread.h"
#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr uint16_t kKv4GroupTokens = 128;
constexpr uint8_t kKv4KeyLevels = 16;
constexpr uint8_t kKv4ValueLevels = 15;
constexpr uint8_t kInt8Levels = 255;

// The public CacheGen code's bins: the first layers matter most.
constexpr uint32_t kCacheGenKeyFineLayers = 10;
constexpr uint32_t kCacheGenValueFineLayers = 2;
constexpr uint8_t kCacheGenFineBins = 32;
constexpr uint8_t kCacheGenBins = 16;

constexpr std::array<std::string_view, kProfileCount> kBaseNames = {"raw",     "int8", "kv4",      "cachegen",
                                                                    "generic", "near", "balanced", "far"};

constexpr size_t kCoders = 4;
// Rows by ProfileId; columns: own choice, then by CoderId. Bytes of raw elements and 255 levels are nothing
// for rANS, whose tables hold 32 entries; tables of a calibration are nothing for other coders.
constexpr std::string_view kNames[kProfileCount][1 + kCoders] = {
    {"raw", "raw+none", "raw+deflate", "raw+zstd", ""},
    {"int8", "int8+none", "int8+deflate", "int8+zstd", ""},
    {"kv4", "kv4+none", "kv4+deflate", "kv4+zstd", "kv4+rans"},
    {"cachegen", "cachegen+none", "cachegen+deflate", "cachegen+zstd", "cachegen+rans"},
    {"generic", "generic+none", "generic+deflate", "generic+zstd", "generic+rans"},
    {"near", "", "", "", ""},
    {"balanced", "", "", "", ""},
    {"far", "", "", "", ""},
};

/// A rANS frame begins with 300 bytes of states and tables: planes of tiny models are packed and left to
/// zstd.
constexpr size_t kRansSymbolsMin = 8192;

PlaneRecipe token_sym(uint8_t levels, uint16_t group_heads) {
  const CoderId coder = levels <= 32 ? CoderId::kRans : CoderId::kZstd;
  return {QuantizerId::kTokenSym, levels, 0, group_heads, PackingId::kBytes, coder};
}

PlaneRecipe base_recipe(ProfileId id, const KvGeometry& geometry, uint32_t plane) {
  const uint32_t layer = geometry.layer_of(plane);
  const bool is_key = geometry.kind_of(plane) == 0;
  switch (id) {
    case ProfileId::kRaw:
    case ProfileId::kNear:
    case ProfileId::kBalanced:
    case ProfileId::kFar:
      break;
    case ProfileId::kInt8:
      return token_sym(kInt8Levels, 1);
    case ProfileId::kKv4:
      if (!is_key) return token_sym(kKv4ValueLevels, 1);
      return {QuantizerId::kChannelAsym,
              kKv4KeyLevels,
              static_cast<uint16_t>(std::min<uint32_t>(kKv4GroupTokens, geometry.chunk_tokens)),
              0,
              PackingId::kBytes,
              CoderId::kRans};
    case ProfileId::kCacheGen: {
      const bool fine = layer < (is_key ? kCacheGenKeyFineLayers : kCacheGenValueFineLayers);
      const int reach = (fine ? kCacheGenFineBins : kCacheGenBins) / 2 - 1;
      return token_sym(static_cast<uint8_t>(2 * reach + 1), 0);
    }
    case ProfileId::kGeneric:  // most symbols are near the middle, whatever the levels
      if (!is_key) return {QuantizerId::kTokenSym, kSpreadLevels, 0, 0, PackingId::kBytes, CoderId::kRans};
      return {QuantizerId::kChannelAsym, kSpreadLevels, static_cast<uint16_t>(geometry.chunk_tokens), 0,
              PackingId::kBytes,         CoderId::kRans};
  }
  return {};
}

}  // namespace

std::string_view Profile::name() const {
  const size_t column = coder ? 1 + static_cast<size_t>(*coder) : 0;
  return kNames[static_cast<size_t>(id)][column];
}

bool Profile::suits(const KvGeometry& geometry) const {
  if (geometry.stored_as_is()) return id == ProfileId::kRaw;
  return !geometry.latent() || !calibrated();
}

PlaneRecipe Profile::recipe(const KvGeometry& geometry, uint32_t plane) const {
  SS_CHECK(!calibrated(), "calibrated planes are cut by their model");
  PlaneRecipe recipe = base_recipe(id, geometry, plane);
  if (coder) recipe.coder = *coder;
  const size_t symbols = size_t{geometry.chunk_tokens} * geometry.channels();
  const bool suits_rans = recipe.quantizer != QuantizerId::kRaw && symbols >= kRansSymbolsMin;
  if (recipe.coder == CoderId::kRans && !suits_rans) recipe.coder = CoderId::kZstd;
  if (recipe.quantizer != QuantizerId::kRaw) {
    const bool nibbles = recipe.coder != CoderId::kRans && recipe.levels <= 16;
    recipe.packing = nibbles ? PackingId::kNibbles : PackingId::kBytes;
  }
  const bool two_bytes = geometry.element_bytes() == 2;
  if (recipe.quantizer == QuantizerId::kRaw && recipe.coder != CoderId::kNone && two_bytes) {
    recipe.packing = PackingId::kSplit;  // high bytes repeat, low bytes hardly: kept apart they code better
  }
  return recipe;
}

Result<Profile> profile_from_name(std::string_view name) {
  for (size_t row = 0; row < kBaseNames.size(); ++row) {
    const auto id = static_cast<ProfileId>(row);
    if (name == kNames[row][0]) return Profile{id, std::nullopt, nullptr};
    for (size_t coder = 0; coder < kCoders; ++coder) {
      if (!name.empty() && name == kNames[row][1 + coder])
        return Profile{id, static_cast<CoderId>(coder), nullptr};
    }
  }
  if (name == "kv4+packed") return Profile{ProfileId::kKv4, CoderId::kNone, nullptr};
  if (name == "cachegen+packed") return Profile{ProfileId::kCacheGen, CoderId::kNone, nullptr};
  return fail(Error::kConfig);
}

std::span<const std::string_view> profile_names() { return kBaseNames; }

}  // namespace shadowserve
