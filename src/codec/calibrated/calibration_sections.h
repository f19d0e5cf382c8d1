// Inside the reader of calibration files: the fixed part, and what reads all that lies behind it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "codec/calibrated/calibration.h"

namespace shadowserve {

inline constexpr uint32_t kCalibrationPointsMax = 8;
inline constexpr uint32_t kCalibrationRotationsMax = 8;
inline constexpr uint32_t kCalibrationTablesMax = 255;  ///< so that kNoTable numbers none

/// Fixed part of a file, little-endian, 68 bytes.
struct CalibrationHeader {
  uint8_t magic[8];  ///< "SSKVCAL\n"
  uint16_t version;
  uint16_t flags;       ///< 0
  uint32_t file_bytes;  ///< everything, the SHA-256 included
  uint32_t layers;
  uint32_t kv_heads;
  uint32_t head_dim;
  uint8_t element;  ///< ElementType
  uint8_t points;
  uint8_t rotations;
  uint8_t classes_max;  ///< kCalibrationClassesMax
  uint16_t tables;
  uint16_t tokens_a_sink;
  std::array<std::byte, 32> fingerprint;
};
static_assert(sizeof(CalibrationHeader) == 68 && alignof(CalibrationHeader) == 4);

/// What is wrong with a file, to be read behind its name; empty: nothing.
using CalibrationProblem = std::string;

/// Reads the sections between header and SHA-256 into `calibration`, checking each on the way, and that
/// nothing is left. REQUIRES that the header's bounds hold and `calibration` has its geometry.
CalibrationProblem read_calibration_sections(const CalibrationHeader& header,
                                             std::span<const std::byte> sections, Calibration& calibration);

}  // namespace shadowserve
