// An engine's pages as the C API describes them, checked, and the mover that fits them.
#pragma once

#include <memory>
#include <string>

#include "chunk/kv_geometry.h"
#include "contract/result.h"
#include "control/page_mover.h"
#include "kernels/staging_memory.h"
#include "shadowserve/shadowserve.h"

namespace shadowserve {

/// In host memory where the options name no device. kConfig, kUnsupported or kSystem with a sentence in
/// `message`. Blocks for milliseconds when a GPU is involved.
Result<std::unique_ptr<PageMover>> make_page_mover(const ss_pages& pages, const KvGeometry& geometry,
                                                   const StagingPlace& place, std::string& message);

}  // namespace shadowserve
