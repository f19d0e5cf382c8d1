// Everything a kernel would otherwise work out for every frame is worked out once.
#include "codec/calibrated/calibrated_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "codec/element.h"
#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr uint32_t kBlock = 64;   // channels of one lookup
constexpr uint32_t kReach = 128;  // places it sees at a time

/// The symbol whose entry is the most frequent one. The escape costs its literal as well.
uint8_t cheapest_symbol(const RansTable& table) {
  const auto first = table.frequency.begin();
  const auto best = std::max_element(first, first + table.direct());
  return static_cast<uint8_t>(table.base + (best - first));
}

}  // namespace

Result<std::shared_ptr<const CalibratedModel>> CalibratedModel::make(const Calibration& calibration,
                                                                     std::string_view point,
                                                                     const KvGeometry& geometry,
                                                                     std::string& message) {
  if (auto fits = check_calibration_for(calibration, geometry, message); !fits) return fail(fits.error());
  const auto number = find_point(calibration, point);
  if (!number) {
    message = fmt::format("the calibration has no point \"{}\"", point);
    return fail(Error::kConfig);
  }
  if (geometry.channels() > kChannelsMax) {
    message = fmt::format("calibrated profiles serve up to {} channels a shard, here are {}", kChannelsMax,
                          geometry.channels());
    return fail(Error::kConfig);
  }
  if (geometry.planes_per_part() % 2 != 0) {
    message = "K and V of a layer do not fit one record: calibrated profiles need shorter chunks";
    return fail(Error::kConfig);
  }
  std::shared_ptr<CalibratedModel> model(new CalibratedModel());
  const uint32_t channels = geometry.channels(), planes = geometry.planes();
  model->geometry_ = geometry;
  model->point_ = point;
  model->hash_ = calibration.hash;
  model->sinks_ = std::max(1u, geometry.chunk_tokens / calibration.tokens_a_sink);
  model->tables_ = RansTableSet(calibration.tables);
  for (const KeyRotation& rotation : calibration.rotations)
    model->turns_.push_back(std::make_unique<KeyTurns>(rotation, geometry.chunk_tokens));
  model->planes_.resize(planes);
  for (auto* floats : {&model->steps_, &model->means_, &model->offsets_})
    floats->resize(size_t{planes} * channels);
  model->sink_keys_.resize(size_t{geometry.layers} * channels);
  model->places_.resize(size_t{planes} * channels);
  model->runs_.resize(size_t{planes} * kCalibrationClassesMax);
  model->lookups_.resize(planes);
  for (uint32_t plane = 0; plane < planes; ++plane) model->spread_plane(calibration, *number, plane);
  return std::shared_ptr<const CalibratedModel>(std::move(model));
}

void CalibratedModel::spread_plane(const Calibration& calibration, uint32_t point, uint32_t plane) {
  const uint32_t channels = calibration.channels(), layer = plane / 2;
  const size_t at = size_t{plane} * channels;
  const float scalar = calibration.points[point].scalar;
  CalibratedPlane& out = planes_[plane];
  out.channels = channels;
  out.head_dim = calibration.head_dim;
  out.element = calibration.element;
  for (uint32_t channel = 0; channel < channels; ++channel) {
    const float step = element::from_bf16(calibration.base_steps[at + channel]) * scalar;
    steps_[at + channel] = element::from_bf16(element::to_bf16(step));
    means_[at + channel] = element::from_bf16(calibration.means[at + channel]);
    // A power of two times a step is exact, so this is one rounding wherever it is done.
    offsets_[at + channel] = means_[at + channel] - 128 * steps_[at + channel];
  }
  out.steps = {steps_.data() + at, channels};
  out.means = {means_.data() + at, channels};
  out.offsets = {offsets_.data() + at, channels};
  if (plane % 2 == 0) {
    const size_t key_at = size_t{layer} * channels;
    double squares = 0;
    for (uint32_t i = 0; i < channels; ++i) {
      squares += calibration.sink_keys[key_at + i] * calibration.sink_keys[key_at + i];
    }
    const double length = squares > 0 ? std::sqrt(squares) : 1;
    for (uint32_t i = 0; i < channels; ++i) {
      sink_keys_[key_at + i] = static_cast<float>(calibration.sink_keys[key_at + i] / length);
    }
    out.sink_key = {sink_keys_.data() + key_at, channels};
    const uint8_t rotation = calibration.layer_rotation[layer];
    out.turns = rotation == kNoRotation ? nullptr : turns_[rotation].get();
  }
  spread_classes(calibration, point, plane);
  spread_lookups(plane);
}

void CalibratedModel::spread_classes(const Calibration& calibration, uint32_t point, uint32_t plane) {
  const uint32_t channels = calibration.channels();
  const uint8_t* const classes = calibration.classes.data() + size_t{plane} * channels;
  const uint8_t* const tables = calibration.class_tables.data() +
                                (size_t{plane} * calibration.points.size() + point) * kCalibrationClassesMax;
  uint16_t* const places = places_.data() + size_t{plane} * channels;
  ClassRun* const runs = runs_.data() + size_t{plane} * kCalibrationClassesMax;
  uint32_t run_count = 0, place = 0;
  for (uint8_t number = 0; number < kCalibrationClassesMax; ++number) {
    ClassRun run{place, 0, tables[number], 0};
    for (uint32_t channel = 0; channel < channels; ++channel) {
      if (classes[channel] == number) places[channel] = static_cast<uint16_t>(place++);
    }
    run.channels = place - run.first;
    if (run.channels == 0) continue;
    SS_CHECK(run.table < tables_.tables.size(), "the reader checked that every class in use has a table");
    run.cheapest = cheapest_symbol(tables_.tables[run.table]);
    runs[run_count++] = run;
  }
  planes_[plane].places = {places, channels};
  planes_[plane].runs = {runs, run_count};
}

void CalibratedModel::spread_lookups(uint32_t plane) {
  CalibratedPlane& out = planes_[plane];
  if (out.channels % kBlock != 0) return;
  Lookups& made = lookups_[plane];
  made.places.resize(out.channels);
  for (uint32_t first = 0; first < out.channels; first += kBlock) {
    const auto places = out.places.subspan(first, kBlock);
    const auto [lowest, highest] = std::minmax_element(places.begin(), places.end());
    BlockLookup block;
    block.window = static_cast<uint16_t>(*lowest / kBlock * kBlock);
    block.reaches = static_cast<uint16_t>((*highest - block.window) / kReach + 1);
    block.masks = static_cast<uint32_t>(made.masks.size());
    made.masks.resize(made.masks.size() + block.reaches);
    for (uint32_t i = 0; i < kBlock; ++i) {
      const uint32_t behind = places[i] - block.window;
      made.places[first + i] = behind % kReach;
      made.masks[block.masks + behind / kReach] |= uint64_t{1} << i;
    }
    made.blocks.push_back(block);
  }
  out.lookups = made.blocks;
  out.lookup_places = made.places;
  out.lookup_masks = made.masks;
}

uint32_t CalibratedModel::segments(uint32_t plane, uint32_t tokens,
                                   std::span<RansSegment, kRansSegmentsMax> out) const {
  uint32_t count = 0;
  for (const ClassRun& run : planes_[plane].runs) {
    out[count++] = {tokens * run.channels, tables_.tables[run.table], run.table};
  }
  return count;
}

}  // namespace shadowserve
