// The geometry is the engine's word as well: nothing is multiplied by it before it was checked.
#include "plane/calibrated_models.h"

#include <algorithm>

#include "codec/profile.h"
#include "wire/link_message.h"

namespace shadowserve {

static_assert(kLinkCalibrationBytesMax == kCalibrationBytesMax, "every calibration file fits a link");

Result<std::shared_ptr<const CalibratedModel>> CalibratedModels::open(std::span<const std::byte> file,
                                                                      std::string_view profile,
                                                                      const KvGeometry& geometry,
                                                                      std::string& message) {
  const auto known_profile = profile_from_name(profile);
  if (!known_profile || !known_profile->calibrated() || !geometry.validate()) {
    message = "a calibration came with a profile that uses none, or with a KV geometry out of range";
    return fail(Error::kConfig);
  }
  auto read = read_calibration(file, message);
  if (!read) {
    message = "the engine's calibration " + message;
    return fail(read.error());
  }
  if (auto fits = check_calibration_for(*read, geometry, message); !fits) {
    message = "the engine's calibration " + message;
    return fail(fits.error());
  }
  std::erase_if(known_, [](const auto& each) { return each.expired(); });
  for (const auto& each : known_) {
    auto model = each.lock();
    if (model && model->hash() == read->hash && model->point() == profile && model->geometry() == geometry) {
      return model;
    }
  }
  auto made = CalibratedModel::make(*read, profile, geometry, message);
  if (made) known_.push_back(*made);
  return made;
}

}  // namespace shadowserve
