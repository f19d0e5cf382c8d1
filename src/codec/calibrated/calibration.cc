// Reads calibration files: everything in hostile bytes is checked here before any of it is used.
#include "codec/calibrated/calibration.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <bit>
#include <cstring>

#include "chunk/chunk_key.h"
#include "codec/calibrated/calibration_sections.h"
#include "contract/check.h"

namespace shadowserve {
namespace {

static_assert(std::endian::native == std::endian::little, "calibrations are read as they lie in memory");

constexpr char kMagic[] = "SSKVCAL\n";  // 8 bytes without the terminator
constexpr uint16_t kVersion = 1;
constexpr uint32_t kTokensASinkMin = 2;

CalibrationHash sha256(std::span<const std::byte> bytes) {
  CalibrationHash hash;
  unsigned size = 0;
  SS_CHECK(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(hash.data()), &size,
                      EVP_sha256(), nullptr) == 1 &&
               size == hash.size(),
           "libcrypto always has SHA-256, which gives 32 bytes");
  return hash;
}

/// All that can be said before sections are looked at, and nothing of the header but its size before the hash
/// fits: whatever comes later is then what a writer wrote.
CalibrationProblem check_file(std::span<const std::byte> bytes, CalibrationHeader& header,
                              CalibrationHash& hash) {
  const bool magic_fits = bytes.size() >= sizeof header + sizeof hash &&
                          std::memcmp(bytes.data(), kMagic, sizeof header.magic) == 0;
  if (!magic_fits) return "is no calibration file";
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.version != kVersion) {
    return fmt::format("is a calibration of version {}, this build reads version {}", header.version,
                       kVersion);
  }
  if (bytes.size() > kCalibrationBytesMax) {
    return fmt::format("has more than the {} bytes a calibration can have", kCalibrationBytesMax);
  }
  if (header.file_bytes != bytes.size()) {
    return fmt::format("says it has {} bytes and has {}", header.file_bytes, bytes.size());
  }
  hash = sha256(bytes.first(bytes.size() - sizeof hash));
  if (std::memcmp(bytes.last(sizeof hash).data(), hash.data(), sizeof hash) != 0) {
    return "is damaged: its SHA-256 does not fit";
  }
  if (header.flags != 0) return fmt::format("has flags this build does not know ({:#x})", header.flags);
  return {};
}

CalibrationProblem check_bounds(const CalibrationHeader& header) {
  struct Bound {
    const char* field;
    uint32_t value, least, most;
  };
  for (const auto& [field, value, least, most] : {
           Bound{"layers", header.layers, 1, kLayersMax},
           Bound{"kv_heads", header.kv_heads, 1, kKvHeadsMax},
           Bound{"head_dim", header.head_dim, 1, kHeadDimMax},
           Bound{"element", header.element, 1, 2},
           Bound{"points", header.points, 1, kCalibrationPointsMax},
           Bound{"rotations", header.rotations, 0, kCalibrationRotationsMax},
           Bound{"classes_max", header.classes_max, kCalibrationClassesMax, kCalibrationClassesMax},
           Bound{"tables", header.tables, 1, kCalibrationTablesMax},
           Bound{"tokens_a_sink", header.tokens_a_sink, kTokensASinkMin, UINT16_MAX},
       }) {
    if (value >= least && value <= most) continue;
    const std::string range = least == most ? fmt::to_string(least) : fmt::format("{} to {}", least, most);
    return fmt::format("has {} {}: it must be {}", field, value, range);
  }
  return {};
}

std::string shape_of(uint32_t layers, uint32_t kv_heads, uint32_t head_dim, ElementType element) {
  return fmt::format("{} layers of {} heads x {} in {}", layers, kv_heads, head_dim, element_name(element));
}

}  // namespace

Result<Calibration> read_calibration(std::span<const std::byte> bytes, std::string& message) {
  CalibrationHeader header{};
  Calibration calibration;
  CalibrationProblem problem = check_file(bytes, header, calibration.hash);
  if (problem.empty()) problem = check_bounds(header);
  if (problem.empty()) {
    calibration.layers = header.layers;
    calibration.kv_heads = header.kv_heads;
    calibration.head_dim = header.head_dim;
    calibration.element = static_cast<ElementType>(header.element);
    calibration.tokens_a_sink = header.tokens_a_sink;
    calibration.fingerprint = header.fingerprint;
    const auto sections = bytes.first(bytes.size() - sizeof calibration.hash).subspan(sizeof header);
    problem = read_calibration_sections(header, sections, calibration);
  }
  if (problem.empty()) return calibration;
  message = std::move(problem);
  return fail(Error::kConfig);
}

std::optional<uint32_t> find_point(const Calibration& calibration, std::string_view name) {
  for (uint32_t i = 0; i < calibration.points.size(); ++i) {
    if (calibration.points[i].name == name) return i;
  }
  return std::nullopt;
}

Result<void> check_calibration_for(const Calibration& calibration, const KvGeometry& geometry,
                                   std::string& message, std::string_view fingerprint) {
  if (!fingerprint.empty()) {
    const Result<ChunkKey> engine = key_from_hex(fingerprint);
    if (!engine || *engine != calibration.fingerprint) {
      message = fmt::format("is for the model with fingerprint {}, the engine's is {}{}",
                            to_hex(calibration.fingerprint), fingerprint,
                            engine ? "" : ", which is no 64 hexadecimal digits");
      return fail(Error::kConfig);
    }
  }
  if (calibration.layers == geometry.layers && calibration.kv_heads == geometry.kv_heads &&
      calibration.head_dim == geometry.head_dim && calibration.element == geometry.element &&
      !geometry.latent()) {
    return {};
  }
  message = fmt::format(
      "is for {}, the engine has {}",
      shape_of(calibration.layers, calibration.kv_heads, calibration.head_dim, calibration.element),
      shape_of(geometry.layers, geometry.kv_heads, geometry.head_dim, geometry.element));
  return fail(Error::kConfig);
}

}  // namespace shadowserve
