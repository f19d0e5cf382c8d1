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
  return fmt::format("{} layers of {} heads x {} in {}", layers, kv_heads, head_dim, element_name(element));
}

struct HeadRange {
  uint32_t first = 0, count = 0;  ///< count 0: heads cannot be split so
};

/// The heads of a shard as engines distribute them: consecutive ones, or where there are more shards than
/// heads the same one for consecutive shards.
HeadRange heads_of(const KeySpace& space, uint32_t kv_heads) {
  const uint32_t shards = space.shard_count;
  if (kv_heads >= shards) {
    const uint32_t each = kv_heads % shards == 0 ? kv_heads / shards : 0;
    return {space.shard * each, each};
  }
  if (kv_heads == 0 || shards % kv_heads != 0) return {};
  return {space.shard / (shards / kv_heads), 1};
}

/// Bytes behind the class tables: for each channel of a layer two classes, base steps and means, and one
/// direction.
size_t channel_bytes(const Header& header) {
  return size_t{header.layers} * header.kv_heads * header.head_dim * (2 + 4 + 4 + 1);
}

/// The calibration of these heads alone. What lies before the channels holds for all of them.
std::vector<std::byte> cut(std::span<const std::byte> file, Header header, HeadRange heads) {
  const size_t before = file.size() - sizeof(ChunkKey) - channel_bytes(header);
  std::vector<std::byte> out(file.begin(), file.begin() + static_cast<ptrdiff_t>(before));
  auto row = file.subspan(before);
  const auto take_rows = [&](size_t rows, size_t channel) {
    const size_t head = channel * header.head_dim;
    for (size_t i = 0; i < rows; ++i, row = row.subspan(header.kv_heads * head)) {
      const auto kept = row.subspan(heads.first * head, heads.count * head);
      out.insert(out.end(), kept.begin(), kept.end());
    }
  };
  take_rows(2 * header.layers, 1);  // classes
  take_rows(2 * header.layers, 2);  // base steps
  take_rows(2 * header.layers, 2);  // means
  take_rows(header.layers, 1);      // sink keys
  header.kv_heads = heads.count;
  header.file_bytes = static_cast<uint32_t>(out.size() + sizeof(ChunkKey));
  std::memcpy(out.data(), &header, sizeof header);
  const ChunkKey hash = sha256(out);
  out.insert(out.end(), hash.begin(), hash.end());
  return out;
}

/// Empty when nothing is wrong; else what to say behind the file's name. Fills `header`.
std::string problem_of(std::span<const std::byte> bytes, const KeySpace& space, Header& header) {
  const KvGeometry& geometry = space.geometry;
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
  if (header.layers == geometry.layers && heads_of(space, header.kv_heads).count == geometry.kv_heads &&
      header.head_dim == geometry.head_dim && header.element == geometry.element && !geometry.latent()) {
    // No more than a claim: of what follows the header only the data plane knows the sizes.
    const bool whole = bytes.size() >= sizeof header + channel_bytes(header) + sizeof hash;
    return whole ? "" : "is damaged: it has fewer channels than it says";
  }
  return fmt::format("is for {}, the engine has {}{}",
                     shape_of(header.layers, header.kv_heads, header.head_dim, header.element),
                     shape_of(geometry.layers, geometry.kv_heads, geometry.head_dim, geometry.element),
                     space.shard_count == 1 ? "" : fmt::format(" in each of {} shards", space.shard_count));
}

}  // namespace

Result<std::shared_ptr<const CalibrationFile>> read_calibration_file(const std::string& path,
                                                                     const KeySpace& space,
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
  return take_calibration(read, path, space, message);
}

Result<std::shared_ptr<const CalibrationFile>> take_calibration(std::span<const std::byte> bytes,
                                                                std::string_view name, const KeySpace& space,
                                                                std::string& message) {
  Header header;
  if (const std::string problem = problem_of(bytes, space, header); !problem.empty()) {
    message = fmt::format("calibration {} {}", name, problem);
    return fail(Error::kConfig);
  }
  std::vector<std::byte> own;
  if (space.shard_count > 1) own = cut(bytes, header, heads_of(space, header.kv_heads));
  auto sealed = SealedBytes::create("shadowserve-calibration", own.empty() ? bytes : std::span(own));
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
