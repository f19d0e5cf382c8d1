// Names first, without asking anybody; then calibrations, from a file or from the plane.
#include "control/engine_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <vector>

#include "wire/calibration_call.h"
#include "world/clock.h"

namespace shadowserve {
namespace {

// The codec room knows what they mean; this list only lets a typing error fail here instead of at the plane.
constexpr std::array<std::string_view, 5> kProfiles = {"raw", "int8", "kv4", "cachegen", "generic"};
constexpr std::array<std::string_view, 3> kCalibratedProfiles = {"near", "balanced", "far"};
constexpr std::array<std::string_view, 6> kCoders = {"", "rans", "deflate", "zstd", "packed", "none"};
// What `auto` becomes.
constexpr const char* kWithCalibration = "balanced";
constexpr const char* kWithoutCalibration = "generic";
constexpr const char* kLossless = "raw";

// A plane that starts together with the engine is waited for; so is its store.
constexpr uint64_t kCalibrationPatienceNs = 5'000 * kNsPerMs;

bool is_calibrated(std::string_view profile) {
  return std::find(kCalibratedProfiles.begin(), kCalibratedProfiles.end(), profile) !=
         kCalibratedProfiles.end();
}

std::string text(const char* value) { return value == nullptr ? std::string() : std::string(value); }

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

// Empty when `name` is a profile, else the nearest one.
std::string nearest_profile(std::string_view name) {
  std::string nearest;
  size_t least = SIZE_MAX;
  const auto consider = [&](std::string candidate) {
    const size_t distance = edit_distance(name, candidate);
    if (distance >= least) return;
    least = distance;
    nearest = std::move(candidate);
  };
  for (std::string_view profile : kProfiles) {
    for (std::string_view coder : kCoders)
      consider(coder.empty() ? std::string(profile) : fmt::format("{}+{}", profile, coder));
  }
  for (std::string_view profile : kCalibratedProfiles) consider(std::string(profile));
  consider(kAutoProfile);
  return least == 0 ? std::string() : nearest;
}

using Taken = Result<std::shared_ptr<const CalibrationFile>>;

Taken calibration_from_plane(const ss_options& from, const ClientOptions& options, std::string& message) {
  const std::string weights = text(from.weights_fingerprint);
  const auto fingerprint = key_from_hex(weights);
  if (!fingerprint) {
    message = "it finds one by the fingerprint of the weights, which nobody read";
    return fail(Error::kConfig);
  }
  const uint64_t by_ns = MonotonicClock().now_ns() + kCalibrationPatienceNs;
  const auto file = fetch_calibration(options.plane, *fingerprint, by_ns, message);
  if (!file) return fail(file.error());
  auto taken = take_calibration(*file, "from the data plane", options.space, message);
  if (!taken) return taken;
  if (auto fits = check_weights(**taken, "from the data plane", weights, message); !fits)
    return fail(fits.error());
  return taken;
}

Taken calibration_from_file(const std::string& path, const ss_options& from, const ClientOptions& options,
                            std::string& message) {
  auto taken = read_calibration_file(path, options.space, message);
  const std::string weights = text(from.weights_fingerprint);
  if (!taken || weights.empty()) return taken;
  if (auto fits = check_weights(**taken, path, weights, message); !fits) return fail(fits.error());
  return taken;
}

/// Records under a calibrated profile are another calibration's neither to read nor to find.
void use(const char* profile, std::shared_ptr<const CalibrationFile> calibration, std::string reason,
         ClientOptions& options) {
  options.profile = options.space.profile = profile;
  if (calibration != nullptr) options.space.profile += ":" + to_hex(calibration->hash);
  options.calibration = std::move(calibration);
  options.profile_reason = std::move(reason);
}

/// Why `auto` is lossless for such a cache; empty: it is not.
std::string why_lossless(const KvGeometry& geometry) {
  if (geometry.stored_as_is())
    return fmt::format("a cache of {} is stored as it is", element_name(geometry.element));
  return geometry.latent() ? "nobody measured what a lossy one costs a latent cache (MLA)" : "";
}

void choose(const ss_options& from, ClientOptions& options) {
  if (std::string why = why_lossless(options.geometry()); !why.empty())
    return use(kLossless, nullptr, std::move(why), options);
  std::string message;
  if (auto taken = calibration_from_plane(from, options, message); taken) {
    use(kWithCalibration, std::move(*taken), "the data plane has a calibration of this model", options);
  } else {
    use(kWithoutCalibration, nullptr,
        fmt::format("the data plane gave no calibration of this model ({})", message), options);
  }
}

}  // namespace

std::string profile_problem(const std::string& profile, ClientRole role) {
  const size_t colon = profile.find(':');
  if (role == ClientRole::kLookup && colon != std::string::npos && is_calibrated(profile.substr(0, colon)) &&
      key_from_hex(profile.substr(colon + 1))) {
    return {};
  }
  const std::string nearest = nearest_profile(profile);
  if (nearest.empty()) return {};
  return fmt::format(
      "profile \"{}\" is unknown: did you mean \"{}\"? There are auto; raw, int8, kv4, cachegen and generic, "
      "each also with +rans, +deflate, +zstd, +packed or +none; and near, balanced and far",
      profile, nearest);
}

std::string misfit_of(const std::string& profile, const KvGeometry& geometry) {
  const std::string_view base = std::string_view(profile).substr(0, profile.find_first_of("+:"));
  if (geometry.stored_as_is() && base != kLossless && profile != kAutoProfile) {
    return fmt::format(
        "profile \"{}\" cannot code a KV cache of {}: raw, raw+deflate and raw+zstd keep its bytes as they "
        "are",
        profile, element_name(geometry.element));
  }
  if (geometry.latent() && is_calibrated(base)) {
    return fmt::format(
        "profile \"{}\" needs K and V, and a latent KV cache (MLA) has neither: use raw (lossless), or "
        "generic, int8, kv4 or cachegen",
        profile);
  }
  return {};
}

Result<void> settle_profile(const ss_options& from, ClientOptions& options, std::string& message) {
  const std::string path = text(from.calibration), name = options.profile;
  const bool automatic = name == kAutoProfile;
  if (automatic && path.empty()) {
    choose(from, options);
    return {};
  }
  if (const std::string why = why_lossless(options.geometry()); automatic && !why.empty()) {
    message = fmt::format("calibration is {}: leave it out, {}", path, why);
    return fail(Error::kConfig);
  }
  if (!automatic && !is_calibrated(name)) {
    options.space.profile = name;
    options.profile = name.substr(0, name.find(':'));
    options.profile_reason = "it was asked for";
    if (path.empty()) return {};
    message = fmt::format(
        "calibration is {}, but profile \"{}\" uses none: choose near, balanced or far, or leave it out",
        path, name);
    return fail(Error::kConfig);
  }
  auto taken = path.empty() ? calibration_from_plane(from, options, message)
                            : calibration_from_file(path, from, options, message);
  if (!taken && path.empty()) {
    message = fmt::format(
        "profile \"{}\" needs a calibration of this model, and the data plane gave none ({}): make one with "
        "`shadowserve calibrate MODEL`, and set calibration to its file or publish it with "
        "`shadowserve calibration publish FILE`",
        name, message);
  }
  if (!taken) return fail(taken.error());
  if (automatic) {
    use(kWithCalibration, std::move(*taken), fmt::format("the engine has the calibration {}", path), options);
  } else {
    use(name.c_str(), std::move(*taken), "it was asked for", options);
  }
  return {};
}

}  // namespace shadowserve
