// The profiles that a bench measures, by name.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "bench/bench_input.h"
#include "codec/calibrated/sample_calibration.h"
#include "command.h"

namespace shadowserve {
namespace {

/// Every base name, as it is and with each coder.
std::vector<Profile> all_profiles() {
  std::vector<Profile> all;
  for (const std::string_view name : profile_names()) {
    const Profile base = *profile_from_name(name);
    all.push_back(base);
    for (const CoderId coder : kBenchCoders) {
      const Profile forced{base.id, coder, nullptr};
      if (!forced.name().empty()) all.push_back(forced);  // not every coder suits every quantizer
    }
  }
  return all;
}

ProfileChoice with_model(const Profile& profile, const DumpOptions& dump, const BenchInput& input) {
  if (!profile.calibrated()) return {profile, nullptr};
  const KvGeometry& geometry = input.geometry();
  if (!dump.made_up() || !dump.calibration.empty())
    return choose_profile(std::string(profile.name()), dump.calibration, geometry);
  const auto model = sample_model(geometry, profile.name(), input.chunk(0));
  if (!model) throw StartError(fmt::format("profile {} cannot code KV of this shape", profile.name()));
  ProfileChoice choice{profile, model};
  choice.profile.model = model.get();
  return choice;
}

}  // namespace

std::vector<ProfileChoice> chosen_profiles(const std::vector<std::string>& names, const DumpOptions& dump,
                                           const BenchInput& input) {
  std::vector<ProfileChoice> chosen;
  if (names.empty()) {
    for (const Profile& profile : all_profiles()) {
      const bool knows_model = dump.made_up() || !dump.calibration.empty();
      if (!profile.calibrated() || knows_model) chosen.push_back(with_model(profile, dump, input));
    }
    return chosen;
  }
  for (const std::string& name : names) {
    const auto profile = profile_from_name(name);
    if (!profile) {
      std::vector<std::string_view> known;
      for (const Profile& one : all_profiles()) known.push_back(one.name());
      throw StartError(
          fmt::format("--profiles {} is no profile: choose from {}", name, fmt::join(known, ", ")));
    }
    chosen.push_back(with_model(*profile, dump, input));
  }
  return chosen;
}

}  // namespace shadowserve
