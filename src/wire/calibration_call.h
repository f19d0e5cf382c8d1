// A short conversation on the plane's socket: keep this calibration in the store, or give me that of a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "chunk/chunk_key.h"
#include "contract/result.h"
#include "wire/network/plane_endpoint.h"
#include "world/clock.h"

namespace shadowserve {

inline constexpr uint32_t kCalibrationCallMagic = 0x43435353;  // "SSCC"
inline constexpr uint16_t kCalibrationCallVersion = 1;

enum class CalibrationOp : uint8_t {
  kPublish = 1,  ///< the calibration comes along as SealedBytes
  kFetch = 2,    ///< of the weights with this fingerprint
};

/// First and only message of a client on the Unix socket, in place of a LinkHello. Ancillary data of
/// kPublish: one descriptor, SealedBytes of `bytes` bytes.
struct CalibrationCall {
  uint32_t magic = kCalibrationCallMagic;
  uint16_t version = kCalibrationCallVersion;
  CalibrationOp op = CalibrationOp::kFetch;
  uint8_t reserved = 0;
  uint32_t bytes = 0;  ///< kPublish
  uint32_t reserved2 = 0;
  std::byte fingerprint[32]{};  ///< kFetch
};
static_assert(sizeof(CalibrationCall) == 48);

/// The plane's answer, behind which it closes the connection. Ancillary data where a fetch succeeded: one
/// descriptor, SealedBytes of `bytes` bytes.
struct CalibrationAnswer {
  uint32_t magic = kCalibrationCallMagic;
  uint16_t version = kCalibrationCallVersion;
  uint8_t error = 0;  ///< Error; `text` says why
  uint8_t reserved = 0;
  uint32_t bytes = 0;
  uint32_t reserved2 = 0;
  char text[240] = {};
};
static_assert(sizeof(CalibrationAnswer) == 256);

/// Where a plane's store keeps the calibration of the weights with this fingerprint: a key like a chunk's, of
/// a label that no chunk has.
ChunkKey calibration_key(const ChunkKey& fingerprint);

/// Gives the file to the plane, which checks it and keeps it in its store. Blocks, at the
/// longest until `deadline_ns` (CLOCK_MONOTONIC). Errors: kPlaneDown when nobody answers in time, else the
/// plane's own; a sentence in `message`.
Result<void> publish_calibration(const PlaneEndpoint& plane, std::span<const std::byte> file,
                                 uint64_t deadline_ns, std::string& message);
/// The file, as the plane's store has it; blocks likewise, also for a plane that is just starting. Errors: as
/// above; kMiss when the store has none for these weights.
Result<std::vector<std::byte>> fetch_calibration(const PlaneEndpoint& plane, const ChunkKey& fingerprint,
                                                 uint64_t deadline_ns, std::string& message);

}  // namespace shadowserve
