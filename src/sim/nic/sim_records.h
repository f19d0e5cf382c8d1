// The records that tests of the simulator fetch.
#pragma once

#include "sim/nic/fetch_simulation.h"

namespace shadowserve::nic {

/// Four layers of a Llama-8B: parts of the size that the whole model has, and few of them.
inline constexpr KvGeometry kFourLayers{4, 8, 128, 256, ElementType::kBf16};

/// REQUIRES a profile that needs no calibration.
inline RecordSet sample_records(std::string_view profile, float wide = 3) {
  return make_records(*profile_from_name(profile), nullptr, kFourLayers, made_up_chunk(kFourLayers, wide))
      .value();
}

}  // namespace shadowserve::nic
