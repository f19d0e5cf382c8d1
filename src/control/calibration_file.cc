// Of docs/formats/calibration-v1.md only what tells a damaged or a foreign file; the rest is the codec's.
#include "control/calibration_file.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "contract/check.h"
#include "wire/link_message.h"

namespace shadowserve {
namespace {

/// The beginning of the file, little-endian.
struct Header {
  char magic[8];
  uint16_t version;
  uint16_t flags;
  uint32_t file_bytes;
  uint32_t layers, kv_heads, head_dim;
  ElementType element;
  uint8_t points, rotations, classes_max;
  uint16_t tables, tokens_a_sink;
  ChunkKey fingerprint;
};
static_assert(sizeof(Header) == 68);

constexpr char kMagic[] = "SSKVCAL\n";
constexpr uint16_t kVersion = 1;

ChunkKey sha256(std::span<const std::byte> bytes) {
  ChunkKey digest;
  SS_CHECK(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr,
                      EVP_sha256(), nullptr) == 1,
           "libcrypto has SHA-256");
  return digest;
}

std::string shape_of(uint32_t layers, uint32_t kv_heads, uint32_t head_dim, ElementType element) {
  return fmt::format("{} layers of {} heads x {} in {}", layers, kv_heads, head_dim,
                     element == ElementType::kBf16 ? "bf16" : "fp16");
}

/// Empty when nothing is wrong; else what to say behind the file's name.
std::string problem_of(std::span<const std::byte> bytes, const KvGeometry& geometry) {
  Header header;
  if (bytes.size() < sizeof header + sizeof(ChunkKey) ||
      std::memcmp(bytes.data(), kMagic, sizeof header.magic) != 0) {
    return "is no calibration file";
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.version != kVersion) {
    return fmt::format("is of version {}, this build reads version {}", header.version, kVersion);
  }
  if (bytes.size() > kLinkCalibrationBytesMax) {
    return fmt::format("has more than the {} bytes a calibration can have", kLinkCalibrationBytesMax);
  }
  if (header.file_bytes != bytes.size()) {
    return fmt::format("is damaged: it says it has {} bytes and has {}", header.file_bytes, bytes.size());
  }
  const ChunkKey hash = sha256(bytes.first(bytes.size() - sizeof hash));
  if (std::memcmp(bytes.last(sizeof hash).data(), hash.data(), sizeof hash) != 0) {
    return "is damaged: its SHA-256 does not fit";
  }
  if (header.layers == geometry.layers && header.kv_heads == geometry.kv_heads &&
      header.head_dim == geometry.head_dim && header.element == geometry.element) {
    return {};
  }
  return fmt::format("is for {}, the engine has {}",
                     shape_of(header.layers, header.kv_heads, header.head_dim, header.element),
                     shape_of(geometry.layers, geometry.kv_heads, geometry.head_dim, geometry.element));
}

}  // namespace

Result<std::shared_ptr<const CalibrationFile>> read_calibration_file(const std::string& path,
                                                                     const KvGeometry& geometry,
                                                                     std::string& message) {
  std::ifstream file(path, std::ios::binary);
  // One byte more than is allowed tells a file that is too long.
  std::vector<char> bytes(kLinkCalibrationBytesMax + 1);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.is_open() || file.bad() || (file.fail() && !file.eof())) {
    message = fmt::format("calibration {} cannot be read: {}", path, std::strerror(errno));
    return fail(Error::kConfig);
  }
  const auto read = std::as_bytes(std::span(bytes)).first(static_cast<size_t>(file.gcount()));
  return take_calibration(read, path, geometry, message);
}

Result<std::shared_ptr<const CalibrationFile>> take_calibration(std::span<const std::byte> bytes,
                                                                std::string_view name,
                                                                const KvGeometry& geometry,
                                                                std::string& message) {
  if (const std::string problem = problem_of(bytes, geometry); !problem.empty()) {
    message = fmt::format("calibration {} {}", name, problem);
    return fail(Error::kConfig);
  }
  auto sealed = SealedBytes::create("shadowserve-calibration", bytes);
  if (!sealed) {
    message = fmt::format("no memory or descriptors left for calibration {}", name);
    return fail(sealed.error());
  }
  auto taken = std::make_shared<CalibrationFile>();
  taken->bytes = std::move(*sealed);
  std::memcpy(taken->hash.data(), bytes.last(sizeof taken->hash).data(), sizeof taken->hash);
  std::memcpy(taken->fingerprint.data(), bytes.data() + offsetof(Header, fingerprint),
              sizeof taken->fingerprint);
  return std::shared_ptr<const CalibrationFile>(std::move(taken));
}

Result<void> check_weights(const CalibrationFile& calibration, std::string_view name,
                           std::string_view fingerprint, std::string& message) {
  const Result<ChunkKey> engines = key_from_hex(fingerprint);
  if (engines && *engines == calibration.fingerprint) return {};
  message = fmt::format("calibration {} is for weights with fingerprint {}, the engine's have {}{}", name,
                        to_hex(calibration.fingerprint), fingerprint,
                        engines ? "" : ", which is no 64 hexadecimal digits");
  return fail(Error::kConfig);
}

}  // namespace shadowserve
