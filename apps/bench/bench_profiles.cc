// The profiles that a bench measures, by name.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "bench/bench_input.h"
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
      const Profile forced{base.id, coder};
      if (!forced.name().empty()) all.push_back(forced);  // not every coder suits every quantizer
    }
  }
  return all;
}

}  // namespace

std::vector<Profile> chosen_profiles(const std::vector<std::string>& names) {
  if (names.empty()) return all_profiles();
  std::vector<Profile> chosen;
  for (const std::string& name : names) {
    const auto profile = profile_from_name(name);
    if (!profile) {
      std::vector<std::string_view> known;
      for (const Profile& one : all_profiles()) known.push_back(one.name());
      throw StartError(
          fmt::format("--profiles {} is no profile: choose from {}", name, fmt::join(known, ", ")));
    }
    chosen.push_back(*profile);
  }
  return chosen;
}

}  // namespace shadowserve
