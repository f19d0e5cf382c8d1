// Numbers are drawn by integer arithmetic, so that every machine has the same.
#include "codec/calibrated/sample_calibration.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "codec/element.h"

namespace shadowserve {
namespace {

constexpr uint32_t kClasses = 8;
constexpr float kPointScalars[] = {1.0f, 1.5f, 3.0f};  // near, balanced, far
// Steps of the classes' channels, in deviations.
constexpr float kClassSteps[kClasses] = {2.0f, 1.5f, 1.0f, 0.75f, 0.5f, 0.375f, 0.25f, 0.125f};

/// For numbers of steps of normally distributed values, with the escape for what is far out.
RansTable table_for(float step) {
  SymbolCounts counts{};
  for (int number = -127; number <= 127; ++number) {
    const float deviations = static_cast<float>(number) * step;
    counts[static_cast<size_t>(128 + number)] =
        static_cast<uint32_t>(1e6f * step * std::exp(-deviations * deviations / 2)) + 1;
  }
  return fit_rans_table(counts);
}

/// Mean and deviation of each channel of a plane.
struct ChannelMoments {
  std::vector<float> means, deviations;
  ChannelMoments(const KvGeometry& geometry, const std::byte* values)
      : means(geometry.channels()), deviations(geometry.channels()) {
    const uint32_t channels = geometry.channels();
    for (const bool squares : {false, true}) {
      std::vector<float>& sums = squares ? deviations : means;
      for (size_t i = 0; i < geometry.plane_values(); ++i) {
        uint16_t bits;
        std::memcpy(&bits, values + i * kElementBytes, sizeof bits);
        const float value = element::to_float(bits, geometry.element);
        const float off = value - means[i % channels];
        sums[i % channels] += (squares ? off * off : value) / static_cast<float>(geometry.chunk_tokens);
      }
    }
    for (float& deviation : deviations) deviation = std::max(std::sqrt(deviation), 1e-3f);
  }
  /// Two channels that turn together get what their circle has; its mean is nothing.
  void turn(const KvGeometry& geometry, uint32_t rotary_dim) {
    const uint32_t pairs = rotary_dim / 2;
    for (uint32_t head = 0; head < geometry.channels(); head += geometry.head_dim) {
      for (uint32_t pair = head; pair < head + pairs; ++pair) {
        float square = 0;
        for (const uint32_t i : {pair, pair + pairs})
          square += deviations[i] * deviations[i] + means[i] * means[i];
        for (const uint32_t i : {pair, pair + pairs}) {
          deviations[i] = std::sqrt(square / 2);
          means[i] = 0;
        }
      }
    }
  }
};

}  // namespace

Calibration sample_calibration(const KvGeometry& geometry, const KeyRotation& rotation, uint32_t seed,
                               std::span<const std::byte> chunk) {
  Calibration made = sample_calibration(geometry, rotation, seed);
  for (uint32_t plane = 0; plane < geometry.planes(); ++plane) {
    ChannelMoments moments(geometry, chunk.data() + plane * geometry.plane_bytes());
    if (plane % 2 == 0 && !rotation.frequencies.empty()) moments.turn(geometry, rotation.rotary_dim);
    for (uint32_t channel = 0; channel < geometry.channels(); ++channel) {
      const size_t at = size_t{plane} * geometry.channels() + channel;
      const float step = element::from_bf16(made.base_steps[at]) * moments.deviations[channel];
      made.base_steps[at] = element::to_bf16(step);
      made.means[at] = element::to_bf16(moments.means[channel]);
    }
  }
  return made;
}

KeyRotation sample_rotation(uint32_t rotary_dim, RotationPairing pairing) {
  KeyRotation rotation{pairing, rotary_dim, {}};
  for (uint32_t pair = 0; pair < rotary_dim / 2; ++pair) {
    rotation.frequencies.push_back(
        std::pow(10'000.0f, -2.0f * static_cast<float>(pair) / static_cast<float>(rotary_dim)));
  }
  return rotation;
}

Calibration sample_calibration(const KvGeometry& geometry, const KeyRotation& rotation, uint32_t seed) {
  std::mt19937 random(seed);
  const uint32_t channels = geometry.channels(), planes = geometry.planes();
  Calibration made;
  made.layers = geometry.layers;
  made.kv_heads = geometry.kv_heads;
  made.head_dim = geometry.head_dim;
  made.element = geometry.element;
  made.tokens_a_sink = 128;
  const char* const names[] = {"near", "balanced", "far"};
  for (size_t point = 0; point < std::size(names); ++point) {
    made.points.push_back({names[point], kPointScalars[point], 0});
    for (const float step : kClassSteps) made.tables.push_back(table_for(step * kPointScalars[point]));
  }
  const bool turns = !rotation.frequencies.empty();
  if (turns) made.rotations.push_back(rotation);
  made.layer_rotation.assign(geometry.layers, turns ? 0 : kNoRotation);
  // As calibrations have it: wide planes have classes of their own for every 256 channels.
  const uint32_t groups = std::max(1u, std::min(4u, channels / 256));
  const uint32_t in_group = std::min(groups == 1 ? kClasses : kCalibrationClassesMax / groups, channels);
  for (uint32_t plane = 0; plane < planes; ++plane) {
    for (size_t point = 0; point < std::size(names); ++point) {
      for (uint32_t number = 0; number < kCalibrationClassesMax; ++number) {
        const uint32_t kind = number % in_group * kClasses / in_group;
        made.class_tables.push_back(number < groups * in_group ? static_cast<uint8_t>(point * kClasses + kind)
                                                               : kNoTable);
      }
    }
    // As many channels in each class, in an order of their own.
    for (uint32_t group = 0; group < groups; ++group) {
      const uint32_t first = group * channels / groups, width = (group + 1) * channels / groups - first;
      std::vector<uint8_t> classes(width);
      for (uint32_t i = 0; i < width; ++i) classes[i] = static_cast<uint8_t>(i * in_group / width);
      for (uint32_t i = width; i > 1; --i) std::swap(classes[i - 1], classes[random() % i]);
      for (const uint8_t number : classes) {
        made.classes.push_back(static_cast<uint8_t>(group * in_group + number));
        made.base_steps.push_back(element::to_bf16(kClassSteps[number * kClasses / in_group]));
        made.means.push_back(element::to_bf16((static_cast<float>(random() % 64) - 32.0f) / 64.0f));
      }
    }
  }
  for (size_t i = 0; i < size_t{geometry.layers} * channels; ++i)
    made.sink_keys.push_back(static_cast<int8_t>(random() % 255 - 127));
  return made;
}

std::shared_ptr<const CalibratedModel> sample_model(const KvGeometry& geometry, std::string_view point,
                                                    std::span<const std::byte> chunk) {
  const KeyRotation rotation = sample_rotation(geometry.head_dim / 2 * 2, RotationPairing::kHalves);
  const Calibration calibration = chunk.empty() ? sample_calibration(geometry, rotation, 1)
                                                : sample_calibration(geometry, rotation, 1, chunk);
  std::string message;
  return CalibratedModel::make(calibration, point, geometry, message).value_or(nullptr);
}

}  // namespace shadowserve
