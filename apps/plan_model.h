// A model's KV cache, from the folder that an engine would load, or from its numbers.
#pragma once

#include <string>

#include "chunk/kv_geometry.h"

namespace shadowserve {

/// Reads config.json of `folder`. Throws StartError with what is missing.
KvGeometry model_geometry(const std::string& folder);
/// "32x8x128": layers, KV heads, head dimension; 16-bit elements. Throws StartError.
KvGeometry parse_geometry(const std::string& text);

}  // namespace shadowserve
