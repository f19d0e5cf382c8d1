// Sentences for everything that can be wrong with a profile and its calibration.
#include "profile_choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "command.h"

namespace shadowserve {
namespace {

std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::error_code failed;
  const auto size = std::filesystem::file_size(path, failed);
  if (!in || failed) throw StartError(fmt::format("cannot read the calibration {}", path));
  if (size > kCalibrationBytesMax) throw StartError(fmt::format("{} is too large for a calibration", path));
  std::vector<std::byte> bytes(size);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  if (!in) throw StartError(fmt::format("cannot read the calibration {}", path));
  return bytes;
}

}  // namespace

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
  const auto read = read_calibration(read_file(calibration), message);
  if (!read) throw StartError(fmt::format("{} {}", calibration, message));
  const auto model = CalibratedModel::make(*read, name, geometry, message);
  if (!model) throw StartError(fmt::format("{}: {}", calibration, message));
  ProfileChoice choice{*profile, *model};
  choice.profile.model = model->get();
  return choice;
}

}  // namespace shadowserve
