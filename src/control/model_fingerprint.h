// Fingerprint of a model's weights: tells two models apart without reading all of either.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "contract/result.h"

namespace shadowserve {

/// 64 hexadecimal digits: SHA-256 over `extra`, config.json and the weight files, sorted by name.
///   *.safetensors  size, header, and of every tensor the first, middle and last 4 KiB
///   else *.bin, *.gguf, *.pt, *.pth: size and 64 samples of 64 KiB spread over the file
/// File names do not count, so a copy elsewhere has the same fingerprint. `path` may also be one weight file.
/// Reads files (a few ms a GB from disk); no special thread. kConfig when there are no readable weights.
Result<std::string> model_fingerprint(const std::filesystem::path& path, std::string_view extra);

/// Both in one pass over the files.
struct ModelFingerprints {
  std::string model;    ///< with `extra`
  std::string weights;  ///< model_fingerprint(path, ""): what a calibration names
};
Result<ModelFingerprints> model_fingerprints(const std::filesystem::path& path, std::string_view extra);

}  // namespace shadowserve
