// Reads a calibration's sections: no count, index or number in them is believed before it was checked.
#include "codec/calibrated/calibration_sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "chunk/record.h"
#include "codec/element.h"

namespace shadowserve {
namespace {

// Floats of a point are below it, as calibration_file.py has it; infinity and NaN are not.
constexpr float kPointFloatEnd = 1e30f;
constexpr uint16_t kMagnitudeMask = 0x7fff;

struct PointEntry {
  char name[16];
  float scalar;
  float expected_kl;
};
static_assert(sizeof(PointEntry) == 24);

struct RotationEntry {
  uint8_t pairing;
  uint8_t reserved;
  uint16_t rotary_dim;
};
static_assert(sizeof(RotationEntry) == 4);

struct TableEntry {
  uint8_t base;
  uint8_t entries;
  uint16_t reserved;
  std::array<uint8_t, kRansEntriesMax> frequencies;
};
static_assert(sizeof(TableEntry) == 36);

constexpr const char* kCutShort = "ends before its tables do";

/// Takes a file apart from its front. What a count claims is held against the bytes there are before anything
/// is allocated for it.
class Sections {
 public:
  explicit Sections(std::span<const std::byte> left) : left_(left) {}
  bool at_end() const { return left_.empty(); }
  template <typename T>
  bool read(T& entry) {
    return copy(&entry, 1);
  }
  template <typename T>
  bool read(size_t count, std::vector<T>& values) {
    if (count > left_.size() / sizeof(T)) return false;
    values.resize(count);
    return copy(values.data(), count);
  }

 private:
  template <typename T>
  bool copy(T* to, size_t count) {
    if (count > left_.size() / sizeof(T)) return false;
    std::memcpy(to, left_.data(), count * sizeof(T));
    left_ = left_.subspan(count * sizeof(T));
    return true;
  }
  std::span<const std::byte> left_;
};

bool letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

CalibrationProblem read_points(const CalibrationHeader& header, Sections& sections,
                               Calibration& calibration) {
  for (uint32_t i = 0; i < header.points; ++i) {
    PointEntry entry;
    if (!sections.read(entry)) return kCutShort;
    std::string_view name(entry.name, sizeof entry.name);
    name = name.substr(0, name.find_last_not_of('\0') + 1);  // npos + 1 is 0: no name at all
    if (name.empty() || !std::all_of(name.begin(), name.end(), letter_or_digit)) {
      return fmt::format("has no name of letters and digits for point {}", i);
    }
    if (find_point(calibration, name)) return fmt::format("has two points named {}", name);
    if (!(entry.scalar > 0 && entry.scalar < kPointFloatEnd)) {
      return fmt::format("has a scalar that is no number above 0 and below 1e30 at point {}", name);
    }
    if (!(entry.expected_kl >= 0 && entry.expected_kl < kPointFloatEnd)) {
      return fmt::format("has an expected_kl that is no number from 0 to 1e30 at point {}", name);
    }
    calibration.points.push_back({std::string(name), entry.scalar, entry.expected_kl});
  }
  return {};
}

CalibrationProblem read_rotations(const CalibrationHeader& header, Sections& sections,
                                  Calibration& calibration) {
  for (uint32_t i = 0; i < header.rotations; ++i) {
    RotationEntry entry;
    if (!sections.read(entry)) return kCutShort;
    if (entry.pairing != static_cast<uint8_t>(RotationPairing::kHalves) &&
        entry.pairing != static_cast<uint8_t>(RotationPairing::kNeighbours)) {
      return fmt::format("has keys paired in the unknown way {} in rotation {}", entry.pairing, i);
    }
    if (entry.reserved != 0) return fmt::format("has a reserved byte that is not 0 in rotation {}", i);
    if (entry.rotary_dim < 2 || entry.rotary_dim > header.head_dim || entry.rotary_dim % 2 != 0) {
      return fmt::format("has {} of {} dims turned by rotation {}", entry.rotary_dim, header.head_dim, i);
    }
    KeyRotation rotation{static_cast<RotationPairing>(entry.pairing), entry.rotary_dim, {}};
    if (!sections.read(entry.rotary_dim / 2u, rotation.frequencies)) return kCutShort;
    // The float next to pi, which is a little more: that is what a float32 of "at most pi" can be.
    if (!std::all_of(rotation.frequencies.begin(), rotation.frequencies.end(),
                     [](float frequency) { return std::abs(frequency) <= std::numbers::pi_v<float>; })) {
      return fmt::format("has keys turned by more than half a circle a position in rotation {}", i);
    }
    calibration.rotations.push_back(std::move(rotation));
  }
  if (!sections.read(header.layers, calibration.layer_rotation)) return kCutShort;
  for (const uint8_t number : calibration.layer_rotation) {
    if (number < header.rotations || number == kNoRotation) continue;
    return fmt::format("has a layer with rotation {} of {}", number, header.rotations);
  }
  return {};
}

CalibrationProblem read_tables(const CalibrationHeader& header, Sections& sections,
                               Calibration& calibration) {
  for (uint32_t i = 0; i < header.tables; ++i) {
    TableEntry entry;
    if (!sections.read(entry)) return kCutShort;
    if (entry.entries < 2 || entry.entries > kRansEntriesMax) {
      return fmt::format("has {} entries in table {}: 2 to {} are possible", entry.entries, i,
                         kRansEntriesMax);
    }
    if (entry.reserved != 0) return fmt::format("has reserved bytes that are not 0 in table {}", i);
    if (entry.base + entry.entries - 1 > 256) return fmt::format("has symbols beyond 255 in table {}", i);
    const RansTable table{entry.base, entry.entries, /*escape=*/true, entry.frequencies};
    if (!table.valid()) {
      return fmt::format("has frequencies that are no table with an escape of {} slots in table {}",
                         kRansSlots, i);
    }
    calibration.tables.push_back(table);
  }
  return {};
}

/// Class tables, and the classes that choose from them.
CalibrationProblem read_classes(const CalibrationHeader& header, Sections& sections,
                                Calibration& calibration) {
  const size_t planes = size_t{header.layers} * 2, channels = calibration.channels();
  if (!sections.read(planes * header.points * kCalibrationClassesMax, calibration.class_tables) ||
      !sections.read(planes * channels, calibration.classes)) {
    return kCutShort;
  }
  for (const uint8_t number : calibration.class_tables) {
    if (number < header.tables || number == kNoTable) continue;
    return fmt::format("has a class with table {} of {}", number, header.tables);
  }
  for (size_t plane = 0; plane < planes; ++plane) {
    std::array<bool, kCalibrationClassesMax> usable;  // has a table at every point
    for (uint32_t number = 0; number < kCalibrationClassesMax; ++number) {
      usable[number] = true;
      for (size_t point = 0; point < header.points; ++point) {
        const size_t row = plane * header.points + point;
        usable[number] &= calibration.class_tables[row * kCalibrationClassesMax + number] != kNoTable;
      }
    }
    for (size_t channel = 0; channel < channels; ++channel) {
      const uint8_t number = calibration.classes[plane * channels + channel];
      if (number >= kCalibrationClassesMax) {
        return fmt::format("has a channel of class {}: there are {}", number, kCalibrationClassesMax);
      }
      if (!usable[number]) return fmt::format("has a channel of class {}, which has no table", number);
    }
  }
  return {};
}

CalibrationProblem read_values(const CalibrationHeader& header, Sections& sections,
                               Calibration& calibration) {
  const size_t planes = size_t{header.layers} * 2, channels = calibration.channels();
  if (!sections.read(planes * channels, calibration.base_steps)) return kCutShort;
  for (const uint16_t bits : calibration.base_steps) {
    if (bits == 0 || bits >= kScaleBitsEnd) {
      return "has a base step that is no number above 0 and below 2^119";
    }
    for (const CalibrationPoint& point : calibration.points) {
      // Both are finite and above 0, so that the product is 0 or infinite at worst, and never NaN.
      const uint16_t step = element::to_bf16(point.scalar * element::from_bf16(bits));
      if (step > 0 && step < kScaleBitsEnd) continue;
      return fmt::format("has a step of 0, or of 2^119 and more, at point {}", point.name);
    }
  }
  if (!sections.read(planes * channels, calibration.means)) return kCutShort;
  for (const uint16_t bits : calibration.means) {
    if ((bits & kMagnitudeMask) >= kScaleBitsEnd) return "has a mean that is no number below 2^119";
  }
  return sections.read(header.layers * channels, calibration.sink_keys) ? CalibrationProblem() : kCutShort;
}

}  // namespace

CalibrationProblem read_calibration_sections(const CalibrationHeader& header,
                                             std::span<const std::byte> sections, Calibration& calibration) {
  Sections left(sections);
  for (const auto read : {read_points, read_rotations, read_tables, read_classes, read_values}) {
    if (auto problem = read(header, left, calibration); !problem.empty()) return problem;
  }
  return left.at_end() ? CalibrationProblem() : "has bytes behind its end";
}

}  // namespace shadowserve
