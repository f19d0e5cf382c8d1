// A model's calibration as an engine handles it: checked for damage, named in keys, and sent on as it is.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "chunk/chunk_key.h"
#include "contract/result.h"
#include "wire/sealed_bytes.h"

namespace shadowserve {

/// Immutable, any thread. What is in it beyond its header only the data plane looks at.
struct CalibrationFile {
  SealedBytes bytes;  ///< what every link that codes sends: of a shard the calibration of its heads alone
  ChunkKey hash{};    ///< of the model's calibration, the same for all shards: part of the key space
  ChunkKey fingerprint{};  ///< of the weights it was made for
};

/// The file at `path`, read once. Blocks on the disk. Errors: kConfig with a sentence in `message`:
/// "calibration PATH is damaged: ...", that it cannot be read, is of a version that this build does not know,
/// or is for another shape of the KV cache. Of `space` shard and geometry count.
Result<std::shared_ptr<const CalibrationFile>> read_calibration_file(const std::string& path,
                                                                     const KeySpace& space,
                                                                     std::string& message);
/// The same for bytes that came otherwise; `name` is what `message` calls them.
Result<std::shared_ptr<const CalibrationFile>> take_calibration(std::span<const std::byte> bytes,
                                                                std::string_view name, const KeySpace& space,
                                                                std::string& message);

/// Whether it is for weights of this fingerprint: what model_fingerprint() gives without extra text. Errors:
/// kConfig with a sentence in `message` that names both.
Result<void> check_weights(const CalibrationFile& calibration, std::string_view name,
                           std::string_view fingerprint, std::string& message);

}  // namespace shadowserve
