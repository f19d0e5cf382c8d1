// A call about a calibration to a data plane on another machine: one frame there, one back.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "wire/network/network_frame.h"
#include "wire/network/plane_endpoint.h"

namespace shadowserve {

/// The file of the answer (empty for a publication). Blocks, at the longest until `deadline_ns`
/// (CLOCK_MONOTONIC), also for a plane that is just starting. Errors: kPlaneDown, else the plane's own; a
/// sentence in `message`.
Result<std::vector<std::byte>> call_plane(const PlaneEndpoint& plane, const NetworkCall& call,
                                          uint64_t deadline_ns, std::string& message);

}  // namespace shadowserve
