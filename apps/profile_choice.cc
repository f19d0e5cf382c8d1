// Sentences for everything that can be wrong with a profile and its calibration.
#include "profile_choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <utility>

#include "command.h"

namespace shadowserve {

LoadedCalibration load_calibration(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<std::byte> bytes(kCalibrationBytesMax + 1);  // one more: too large a file says so itself
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!in.is_open() || in.bad()) throw StartError(fmt::format("cannot read {}", path));
  bytes.resize(static_cast<size_t>(in.gcount()));
  std::string message;
  auto read = read_calibration(bytes, message);
  if (!read) throw StartError(fmt::format("{} {}", path, message));
  return {std::move(*read), std::move(bytes)};
}

ProfileChoice choose_profile(const std::string& name, const std::string& calibration,
                             const KvGeometry& geometry) {
  const auto profile = profile_from_name(name);
  if (!profile) {
    throw StartError(fmt::format(
        "--profile {} is no profile: choose {}, the first four with +none, +deflate or +zstd if you like",
        name, fmt::join(profile_names(), ", ")));
  }
  if (!profile->calibrated()) {
    if (!calibration.empty())
      throw StartError(fmt::format("profile {} uses no calibration: leave it out", name));
    return {*profile, nullptr};
  }
  if (calibration.empty()) {
    throw StartError(
        fmt::format("profile {} needs a calibration of the model: make one with `shadowserve calibrate "
                    "MODEL` and name it with --calibration",
                    name));
  }
  std::string message;
  const auto model =
      CalibratedModel::make(load_calibration(calibration).calibration, name, geometry, message);
  if (!model) throw StartError(fmt::format("{}: {}", calibration, message));
  ProfileChoice choice{*profile, *model};
  choice.profile.model = model->get();
  return choice;
}

}  // namespace shadowserve
