// Checks ss_options field by field, so that a wrong setting is one helpful sentence at start.
#include "control/client_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

#include "chunk/record.h"
#include "control/staging_table.h"
#include "kernels/device_memory.h"
#include "wire/calibration_call.h"
#include "wire/socket_path.h"
#include "world/clock.h"

namespace shadowserve {
namespace {

// The codec room knows what they mean; this list only lets a typing error fail here instead of at the plane.
constexpr std::array<std::string_view, 5> kProfiles = {"raw", "int8", "kv4", "cachegen", "generic"};
constexpr std::array<std::string_view, 3> kCalibratedProfiles = {"near", "balanced", "far"};
constexpr std::array<std::string_view, 6> kCoders = {"", "rans", "deflate", "zstd", "packed", "none"};

bool is_calibrated(std::string_view profile) {
  return std::find(kCalibratedProfiles.begin(), kCalibratedProfiles.end(), profile) !=
         kCalibratedProfiles.end();
}

// A plane that starts together with the engine is waited for; so is its store.
constexpr uint64_t kCalibrationPatienceNs = 5'000 * kNsPerMs;

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
  return least == 0 ? std::string() : nearest;
}

std::string text(const char* value) { return value == nullptr ? std::string() : std::string(value); }

std::string geometry_problem(const KvGeometry& geometry) {
  const auto field = [](const char* name, uint32_t value, uint32_t most) {
    if (value >= 1 && value <= most) return std::string();
    return fmt::format("{} is {}: it must be between 1 and {}", name, value, most);
  };
  for (const std::string& problem :
       {field("layers", geometry.layers, kLayersMax), field("kv_heads", geometry.kv_heads, kKvHeadsMax),
        field("head_dim", geometry.head_dim, kHeadDimMax),
        field("chunk_tokens", geometry.chunk_tokens, kChunkTokensMax)}) {
    if (!problem.empty()) return problem;
  }
  if (geometry.element != ElementType::kBf16 && geometry.element != ElementType::kFp16) {
    return fmt::format("element is {}: use 1 for bf16 or 2 for fp16", static_cast<int>(geometry.element));
  }
  if (geometry.validate()) return {};
  return fmt::format(
      "chunk_tokens {} is too many for {} heads of {}: one plane would be {} bytes, a record holds {}",
      geometry.chunk_tokens, geometry.kv_heads, geometry.head_dim, geometry.plane_bytes(),
      kPartValueBytesMax);
}

std::string staging_problem(const ClientOptions& options) {
  const size_t stride = StagingTable::region_stride(options.geometry());
  const size_t least = StagingTable::kRegionsMin * stride;
  if (options.staging_bytes >= least) return {};
  return fmt::format("staging_bytes is {}: this model needs at least {} ({} regions of {})",
                     options.staging_bytes, least, StagingTable::kRegionsMin, stride);
}

std::string problem_of(const ClientOptions& options, ClientRole role) {
  if (options.socket_path.size() >= 108) {
    return fmt::format("socket_path is {} characters long: a Unix socket's path has at most 107",
                       options.socket_path.size());
  }
  if (options.space.model_fingerprint.empty()) {
    return "model_fingerprint is missing: pass what ss_model_fingerprint() gives for the model's directory";
  }
  if (const std::string nearest = nearest_profile(options.profile); !nearest.empty()) {
    return fmt::format(
        "profile \"{}\" is unknown: did you mean \"{}\"? There are raw, int8, kv4, cachegen and generic, "
        "each also with +rans, +deflate, +zstd, +packed or +none; and near, balanced and far",
        options.profile, nearest);
  }
  if (options.space.shard >= options.space.shard_count) {
    return fmt::format("shard is {}: with shard_count {} it must be less than that", options.space.shard,
                       options.space.shard_count);
  }
  if (std::string problem = geometry_problem(options.geometry()); !problem.empty()) return problem;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  if (options.core >= cores && cores > 0) {
    return fmt::format("core is {}: this machine has {} cores (the option is 1 + the core)", options.core + 1,
                       cores);
  }
  if (options.device >= 0 && options.device >= gpu_count()) {
    return fmt::format("device is {}: this process can use {} GPUs (the option is 1 + the device){}",
                       options.device + 1, gpu_count(),
                       gpu_count() == 0 ? ", or was built without CUDA" : "");
  }
  return role == ClientRole::kTransfer ? staging_problem(options) : std::string();
}

Result<std::shared_ptr<const CalibrationFile>> calibration_from_plane(const std::string& weights,
                                                                      const ClientOptions& options,
                                                                      std::string& message) {
  const auto fingerprint = key_from_hex(weights);
  auto file = Result<std::vector<std::byte>>(fail(Error::kConfig));
  if (fingerprint) {
    const uint64_t by_ns = MonotonicClock().now_ns() + kCalibrationPatienceNs;
    file = fetch_calibration(options.socket_path, *fingerprint, by_ns, message);
    if (file) return take_calibration(*file, "from the data plane", options.geometry(), message);
  } else {
    message = "it finds one by the fingerprint of the weights, which nobody read";
  }
  message = fmt::format(
      "profile \"{}\" needs a calibration of this model, and the data plane gave none ({}): make one with "
      "`shadowserve calibrate MODEL`, and set calibration to its file or publish it with "
      "`shadowserve calibration publish FILE`",
      options.profile, message);
  return fail(file.error());
}

/// What a calibrated profile needs besides its name; its records are another calibration's neither to read
/// nor to find.
Result<void> add_calibration(const ss_options& from, ClientOptions& options, std::string& message) {
  const std::string path = text(from.calibration), weights = text(from.weights_fingerprint);
  options.space.profile = options.profile;
  if (!is_calibrated(options.profile)) {
    if (path.empty()) return {};
    message = fmt::format(
        "calibration is {}, but profile \"{}\" uses none: choose near, balanced or far, or leave it out",
        path, options.profile);
    return fail(Error::kConfig);
  }
  auto taken = path.empty() ? calibration_from_plane(weights, options, message)
                            : read_calibration_file(path, options.geometry(), message);
  if (!taken) return fail(taken.error());
  if (!path.empty() && !weights.empty()) {
    if (auto fits = check_weights(**taken, path, weights, message); !fits) return fits;
  }
  options.calibration = std::move(*taken);
  options.space.profile += ":" + to_hex(options.calibration->hash);
  return {};
}

}  // namespace

LinkHello ClientOptions::hello() const {
  LinkHello hello;
  hello.geometry = space.geometry;
  std::memcpy(hello.profile, profile.data(), std::min(profile.size(), sizeof hello.profile - 1));
  hello.seal_kind = static_cast<uint8_t>(space.tenant_salt.empty() ? SealKind::kXxh3 : SealKind::kGmac);
  const ChunkKey seal = seal_key(space);
  std::memcpy(hello.seal_key, seal.data(), sizeof hello.seal_key);
  hello.staging_bytes = staging_bytes;
  // Who only looks up codes nothing.
  if (calibration != nullptr && staging_bytes > 0)
    hello.calibration_bytes = static_cast<uint32_t>(calibration->bytes.size());
  hello.staging_kind = device < 0 ? StagingKind::kHost : StagingKind::kDevice;
  std::memcpy(hello.client_name, client_name.data(),
              std::min(client_name.size(), sizeof hello.client_name - 1));
  return hello;
}

Result<ClientOptions> read_options(const ss_options& given, ClientRole role, std::string& message) {
  constexpr size_t kSmallest = offsetof(ss_options, core);
  if (given.struct_size < kSmallest || given.struct_size > 4096) {
    message = fmt::format("struct_size is {}: set it to sizeof(ss_options), {}", given.struct_size,
                          sizeof(ss_options));
    return fail(Error::kConfig);
  }
  ss_options from{};
  std::memcpy(&from, &given, std::min<size_t>(given.struct_size, sizeof from));
  const auto or_default = [](auto value, auto fallback) { return value == 0 ? fallback : value; };

  ClientOptions options;
  options.socket_path = text(from.socket_path);
  if (options.socket_path.empty()) options.socket_path = default_socket_path();
  options.client_name = text(from.client_name);
  options.space.model_fingerprint = text(from.model_fingerprint);
  options.profile = text(from.profile);
  if (options.profile.empty()) options.profile = "kv4";
  options.space.tenant_salt = text(from.tenant_salt);
  options.space.shard = from.shard;
  options.space.shard_count = or_default(from.shard_count, 1u);
  options.space.geometry = {from.layers, from.kv_heads, from.head_dim,
                            or_default(from.chunk_tokens, kChunkTokensDefault),
                            static_cast<ElementType>(or_default(from.element, 1u))};
  if (from.element > 2) options.space.geometry.element = static_cast<ElementType>(255);
  options.lookup_timeout_ns = or_default(from.lookup_timeout_ms, 100u) * kNsPerMs;
  options.fetch_timeout_ns = or_default(from.fetch_timeout_ms, 5'000u) * kNsPerMs;
  options.save_timeout_ns = or_default(from.save_timeout_ms, 10'000u) * kNsPerMs;
  options.staging_bytes =
      role == ClientRole::kTransfer ? or_default(from.staging_bytes, uint64_t{256} << 20) : 0;
  options.core = from.core - 1;
  options.device = role == ClientRole::kTransfer ? from.device - 1 : -1;
  message = problem_of(options, role);
  if (!message.empty()) return fail(Error::kConfig);
  if (auto added = add_calibration(from, options, message); !added) return fail(added.error());
  return options;
}

}  // namespace shadowserve
