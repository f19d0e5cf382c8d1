// A calibration of made-up values, for what needs one and has no model: benches, trials at start, tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "codec/calibrated/calibrated_model.h"

namespace shadowserve {

/// Channels with steps between 1/8 and 2 in eight classes, tables for bell-shaped values of deviation 1
/// (about 1.9 bits a symbol at `balanced`), points near, balanced and far. Rotations are `rotation`, or none
/// where it has no frequencies. The same for the same arguments. Its hash names nothing.
Calibration sample_calibration(const KvGeometry& geometry, const KeyRotation& rotation, uint32_t seed);

/// The same with steps in proportion to the deviations of these values, one chunk in canonical layout, whose
/// keys need not have been rotated: what a bench of made-up values takes.
Calibration sample_calibration(const KvGeometry& geometry, const KeyRotation& rotation, uint32_t seed,
                               std::span<const std::byte> chunk);

/// A sample calibration with the usual rotation of whole heads, at one of its points; with a `chunk` as
/// above. nullptr: calibrated profiles cannot code this geometry.
std::shared_ptr<const CalibratedModel> sample_model(const KvGeometry& geometry, std::string_view point,
                                                    std::span<const std::byte> chunk = {});

/// RoPE of the first `rotary_dim` dims of a head with the usual base of 10,000.
KeyRotation sample_rotation(uint32_t rotary_dim, RotationPairing pairing);

}  // namespace shadowserve
