// The profile that a command is asked for, with the calibration that it may need.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "codec/calibrated/calibrated_model.h"
#include "codec/profile.h"

namespace shadowserve {

/// A profile, and what it knows of a model for as long as this lives.
struct ProfileChoice {
  Profile profile;
  std::shared_ptr<const CalibratedModel> model;
};

struct LoadedCalibration {
  Calibration calibration;
  std::vector<std::byte> bytes;
};
/// Throws StartError with a sentence: it cannot be read, or is none.
LoadedCalibration load_calibration(const std::string& path);

/// `calibration` is a file's path, empty for none. Throws StartError with what to do: an unknown name, a
/// calibrated profile without a calibration or the other way round, a file that is damaged or of another
/// geometry.
ProfileChoice choose_profile(const std::string& name, const std::string& calibration,
                             const KvGeometry& geometry);

}  // namespace shadowserve
