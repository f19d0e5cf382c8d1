// What the fuzzer and its replay do with one input: describe it, seal it anew, open it and decode it.
#pragma once

#include <algorithm>
#include <vector>

#include "golden/golden_record.h"
#include "hwy/highway.h"

namespace shadowserve {

/// What calibrated frames are decoded with: the golden calibration, as the engine that shares it would.
inline const CalibratedModel& mutants_model() {
  static const GoldenProfile& golden =
      *new GoldenProfile({"", "balanced", kGoldenCalibrated}, SHADOWSERVE_GOLDEN_DIR);
  return *golden.model;
}

/// Returns true when the bytes decoded to values. The seal is recomputed so that mutations reach what lies
/// behind. Aborts when the plainest SIMD target and the best one disagree.
inline bool open_mutant(std::span<const std::byte> input) {
  std::vector<std::byte> record(input.begin(), input.end());
  RecordView view;
  if (!describe_record(record, view)) return false;
  const PartShape shape = view.shape();
  ChunkKey key;
  std::copy_n(reinterpret_cast<const std::byte*>(view.header().chunk_key), key.size(), key.begin());
  seal_record(record, SealKind::kXxh3, ChunkKey{});
  std::vector<std::byte> values(shape.value_bytes()), plain(values.size());  // exactly: a sanitizer sees more
  const auto decoded = decode_part(record, shape, key, ChunkKey{}, values, &mutants_model());
  hwy::SetSupportedTargetsForTest(hwy::SupportedAndGeneratedTargets().back());
  const auto decoded_plainly = decode_part(record, shape, key, ChunkKey{}, plain, &mutants_model());
  hwy::SetSupportedTargetsForTest(0);
  SS_CHECK(decoded.has_value() == decoded_plainly.has_value(), "all targets take the same records");
  SS_CHECK(!decoded || values == plain, "all targets give the same values");
  return decoded.has_value();
}

}  // namespace shadowserve
