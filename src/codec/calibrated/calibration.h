// Calibration files (docs/formats/calibration-v1.md): what is known of one model's KV, read from hostile
// bytes. Start-up only: everything here allocates and reports in sentences. Any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "chunk/kv_geometry.h"
#include "codec/rans/rans_table.h"
#include "contract/result.h"

namespace shadowserve {

/// A named place on the frontier of bytes and quality.
struct CalibrationPoint {
  std::string name;       ///< 1 to 16 ASCII letters and digits, unlike all others
  float scalar = 0;       ///< step of a channel = bf16(scalar x base step); above 0
  float expected_kl = 0;  ///< nats a predicted token behind 1,024; for people
};

/// Which dims of a head turn together. Values are part of the format.
enum class RotationPairing : uint8_t {
  kHalves = 1,      ///< dim i with i + rotary_dim / 2
  kNeighbours = 2,  ///< dim 2i with 2i + 1
};

/// How keys of a layer are rotated (RoPE). Dims from rotary_dim on do not turn.
struct KeyRotation {
  RotationPairing pairing = RotationPairing::kHalves;
  uint32_t rotary_dim = 0;         ///< even, 2 to head_dim
  std::vector<float> frequencies;  ///< [rotary_dim / 2] radians a position, magnitudes at most pi
};

inline constexpr uint8_t kNoRotation = 255;              ///< in layer_rotation: keys are not rotated
inline constexpr uint8_t kNoTable = 255;                 ///< in class_tables: there is no such class
inline constexpr uint32_t kCalibrationClassesMax = 16;   ///< of a plane: what a file has room for
inline constexpr size_t kCalibrationBytesMax = 2 << 20;  ///< of a file

/// SHA-256 of a file before its last 32 bytes, which it is. What a chunk key names.
using CalibrationHash = std::array<std::byte, 32>;

/// One model's calibration. L = layers, P = points.size(), C = channels(); [L][2][...] is K, then V, of each
/// layer, flat and row-major; channel = head x head_dim + dim. Keys are un-rotated. One that
/// read_calibration() gave keeps every rule of the format: indices are below what they index, all floats and
/// bf16s are finite, every point's steps are above 0, and steps and means have magnitudes below 2^119.
struct Calibration {
  uint32_t layers = 0, kv_heads = 0, head_dim = 0;
  ElementType element = ElementType::kBf16;  ///< of the KV cache it is for
  uint32_t tokens_a_sink = 0;                ///< of so many tokens of a chunk one is kept as a sink
  std::array<std::byte, 32> fingerprint{};   ///< of the weights: model_fingerprint(directory, "")
  CalibrationHash hash{};
  std::vector<CalibrationPoint> points;
  std::vector<KeyRotation> rotations;
  std::vector<uint8_t> layer_rotation;  ///< [L] index into rotations, or kNoRotation
  std::vector<RansTable> tables;        ///< valid(), each with an escape; symbols are 128 + number of steps
  std::vector<uint8_t> class_tables;    ///< [L][2][P][16] index into tables, or kNoTable
  std::vector<uint8_t> classes;         ///< [L][2][C] below 16, with a table at every point
  std::vector<uint16_t> base_steps;     ///< [L][2][C] bf16 bits, above 0
  std::vector<uint16_t> means;          ///< [L][2][C] bf16 bits
  std::vector<int8_t> sink_keys;        ///< [L][C] only the direction counts

  uint32_t channels() const { return kv_heads * head_dim; }
};

/// The calibration in `bytes`, every one of them checked in the order of the format page before any is used.
/// `bytes` need not outlive the call. Allocates about as much as `bytes` has; a few ms at most.
/// Errors: kConfig; `message` then says what is wrong, to be read behind the file's name: "is damaged: its
/// SHA-256 does not fit", "is a calibration of version 2, this build reads version 1".
Result<Calibration> read_calibration(std::span<const std::byte> bytes, std::string& message);

/// The number of the point with this name; nullopt if there is none. No allocation.
std::optional<uint32_t> find_point(const Calibration& calibration, std::string_view name);

/// Whether it is for this model: fingerprint, then geometry and element (a chunk's tokens do not matter).
/// `fingerprint` is what model_fingerprint(directory, "") gives, without the extra text that engines mix into
/// KeySpace::model_fingerprint; empty where weights are not at hand, and then not compared.
/// Errors: kConfig; `message` then says of the calibration what it is for and what the engine has.
Result<void> check_calibration_for(const Calibration& calibration, const KvGeometry& geometry,
                                   std::string& message, std::string_view fingerprint = {});

}  // namespace shadowserve
