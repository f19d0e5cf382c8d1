// Measures a lane before there is work: a sample of each profile, unpacked on the lane's own core.
#pragma once

#include "codec/codec.h"
#include "plane/lane_speed.h"
#include "world/clock.h"

namespace shadowserve {

/// Takes about 20 ms and some memory, both given back. Call it on the lane's thread, before its heap is
/// frozen.
void try_lane(const Clock& clock, CoderWorkspace& workspace, LaneSpeed& speed);

}  // namespace shadowserve
