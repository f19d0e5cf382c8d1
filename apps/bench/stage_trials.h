// The rows that `shadowserve bench stage` prints, as trials.
#pragma once

#include <memory>
#include <string>

#include "bench/stage_circle.h"
#include "bench/stage_rig.h"
#include "bench/trial.h"

namespace shadowserve {

// Names of measures and rows, which are also those of the JSON. Tables are named after profiles.
inline constexpr const char* kValuesMeasure = "values_gb_s";
inline constexpr const char* kCompressedMeasure = "compressed_gb_s";
inline constexpr const char* kSlotMeasure = "ns_per_slot";
inline constexpr const char* kCopyRow = "memcpy to staging";

/// One stage alone, stepped by hand. `store` is for receive and send.
std::unique_ptr<Trial> stage_trial(std::string name, StageKind kind, std::shared_ptr<StageRig> rig,
                                   const Clock& clock, std::shared_ptr<RecordStore> store = {});
/// open_record() on every record: sizes, identity, seal, frame table. No stage does only that.
std::unique_ptr<Trial> open_trial(std::shared_ptr<StageRig> rig, SealKind kind);
/// The limit: values from slots to staging memory, no stage around it.
std::unique_ptr<Trial> staging_copy_trial(std::shared_ptr<StageRig> rig);

}  // namespace shadowserve
