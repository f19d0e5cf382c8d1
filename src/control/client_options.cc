// Checks ss_options field by field, so that a wrong setting is one helpful sentence at start.
#include "control/client_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "chunk/record.h"
#include "control/engine_profile.h"
#include "control/staging_table.h"
#include "kernels/device_memory.h"
#include "wire/socket_path.h"
#include "world/clock.h"

namespace shadowserve {
namespace {

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
  if (geometry.element < ElementType::kBf16 || geometry.element > ElementType::kFp8E5M2) {
    return fmt::format("element is {}: use 1 for bf16, 2 for fp16, 3 for fp8 e4m3 or 4 for fp8 e5m2",
                       static_cast<int>(geometry.element));
  }
  if (geometry.planes_per_layer != 2 && !geometry.latent()) {
    return fmt::format("planes_per_layer is {}: use 2 for K and V or 1 for a latent vector",
                       geometry.planes_per_layer);
  }
  if (geometry.latent() && geometry.kv_heads != 1) {
    return fmt::format("kv_heads is {}: with planes_per_layer 1 a token has one latent vector, so use 1",
                       geometry.kv_heads);
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
  if (options.plane.network() && role == ClientRole::kTransfer) {
    if (options.staging_place().on_gpu) {
      return fmt::format(
          "socket_path is {}: engines with pages on a GPU need a data plane on their own host, or "
          "direct_pages",
          options.plane.text);
    }
    if (options.plane.window.empty()) {
      return fmt::format(
          "window is missing: over {} the data plane reaches staging memory through the socket that its "
          "--window names",
          options.plane.text);
    }
  }
  if (options.space.model_fingerprint.empty()) {
    return "model_fingerprint is missing: pass what ss_model_fingerprint() gives for the model's directory";
  }
  if (std::string problem = profile_problem(options.profile, role); !problem.empty()) return problem;
  if (options.space.shard >= options.space.shard_count) {
    return fmt::format("shard is {}: with shard_count {} it must be less than that", options.space.shard,
                       options.space.shard_count);
  }
  if (options.space.shard_count > kShardsMax) {
    return fmt::format("shard_count is {}: {} shards at most are supported", options.space.shard_count,
                       kShardsMax);
  }
  if (role == ClientRole::kLookup && options.space.shard != 0) {
    return fmt::format("shard is {}: a lookup asks for all shards of a chunk, leave it 0",
                       options.space.shard);
  }
  if (std::string problem = geometry_problem(options.geometry()); !problem.empty()) return problem;
  if (std::string problem = misfit_of(options.profile, options.geometry()); !problem.empty()) return problem;
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
  if (options.direct_pages && options.device < 0)
    return "direct_pages is for pages on a GPU: name the GPU in device, or leave direct_pages 0";
  return role == ClientRole::kTransfer ? staging_problem(options) : std::string();
}

}  // namespace

LinkHello ClientOptions::hello() const {
  LinkHello hello;
  hello.geometry = LinkGeometry::of(space.geometry);
  std::memcpy(hello.profile, profile.data(), std::min(profile.size(), sizeof hello.profile - 1));
  hello.seal_kind = static_cast<uint8_t>(space.tenant_salt.empty() ? SealKind::kXxh3 : SealKind::kGmac);
  const ChunkKey seal = seal_key(space);
  std::memcpy(hello.seal_key, seal.data(), sizeof hello.seal_key);
  hello.staging_bytes = staging_bytes;
  // Who only looks up codes nothing.
  if (calibration != nullptr && staging_bytes > 0)
    hello.calibration_bytes = static_cast<uint32_t>(calibration->bytes.size());
  hello.staging_kind = staging_place().on_gpu ? StagingKind::kDevice : StagingKind::kHost;
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
  std::string address = text(from.socket_path);
  if (address.empty()) address = default_socket_path();
  const TlsFiles tls{text(from.tls_certificate), text(from.tls_key), text(from.tls_ca)};
  auto plane = find_plane(address, tls, text(from.tls_name), text(from.window), message);
  if (!plane) return fail(plane.error());
  options.plane = std::move(*plane);
  options.client_name = text(from.client_name);
  options.space.model_fingerprint = text(from.model_fingerprint);
  options.profile = text(from.profile);
  if (options.profile.empty()) options.profile = kAutoProfile;
  options.space.tenant_salt = text(from.tenant_salt);
  options.space.shard = from.shard;
  options.space.shard_count = or_default(from.shard_count, 1u);
  options.space.geometry = {from.layers,
                            from.kv_heads,
                            from.head_dim,
                            or_default(from.chunk_tokens, kChunkTokensDefault),
                            static_cast<ElementType>(std::min(or_default(from.element, 1u), 255u)),
                            static_cast<uint8_t>(std::min(or_default(from.planes_per_layer, 2u), 255u))};
  options.lookup_timeout_ns = or_default(from.lookup_timeout_ms, 100u) * kNsPerMs;
  options.fetch_timeout_ns = or_default(from.fetch_timeout_ms, 5'000u) * kNsPerMs;
  options.save_timeout_ns = or_default(from.save_timeout_ms, 10'000u) * kNsPerMs;
  options.staging_bytes =
      role == ClientRole::kTransfer ? or_default(from.staging_bytes, uint64_t{256} << 20) : 0;
  options.core = from.core - 1;
  options.device = role == ClientRole::kTransfer ? from.device - 1 : -1;
  options.direct_pages = role == ClientRole::kTransfer && from.direct_pages != 0;
  message = problem_of(options, role);
  if (!message.empty()) return fail(Error::kConfig);
  if (auto settled = settle_profile(from, options, message); !settled) return fail(settled.error());
  return options;
}

}  // namespace shadowserve
