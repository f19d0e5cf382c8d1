// Calibrations that engines bring, checked and spread out once for all that bring the same.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "codec/calibrated/calibrated_model.h"

namespace shadowserve {

/// Remembers what sessions hold, and holds nothing itself. Reception's thread; allocates.
class CalibratedModels {
 public:
  /// The model that `profile` needs, from the hostile bytes of a calibration file: the one that another
  /// session has already, or a new one. Takes some ms. Errors: kConfig with a sentence in `message`.
  Result<std::shared_ptr<const CalibratedModel>> open(std::span<const std::byte> file,
                                                      std::string_view profile, const KvGeometry& geometry,
                                                      std::string& message);

 private:
  std::vector<std::weak_ptr<const CalibratedModel>> known_;
};

}  // namespace shadowserve
