// rANS symbols dequantized in the registers they were decoded in.
#pragma once

#include <cstdint>

#include "codec/frame_kernel.h"
#include "codec/rans/rans_kernel.h"

namespace shadowserve {

/// All rows of a frame whose symbols are one segment: the same values as rans_decode_simd() and then
/// dequantize_rows_simd() give, and the same state of `reading` after. False, with nothing done, where this
/// machine or the shape has no such kernel (it wants AVX-512 with VBMI2, and rows and groups of whole
/// multiples of 128 channels). Any input is fine, as there. No allocation.
bool rans_rows_simd(const FrameShape& shape, const RansLookup& table, RansReading& reading,
                    const uint8_t* scales, uint8_t* values, ScaleCache& cache, bool stream);

}  // namespace shadowserve
