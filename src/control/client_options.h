// ss_options, checked: everything a lookup or transfer object has to know about its engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "chunk/chunk_key.h"
#include "contract/result.h"
#include "control/calibration_file.h"
#include "kernels/staging_memory.h"
#include "shadowserve/shadowserve.h"
#include "wire/link_message.h"
#include "wire/network/plane_endpoint.h"

namespace shadowserve {

struct ClientOptions {
  PlaneEndpoint plane;
  std::string client_name;
  std::string profile;         ///< in use, as the plane knows it; the key space's has its calibration's hash
  std::string profile_reason;  ///< why this one, for people
  KeySpace space;
  std::shared_ptr<const CalibrationFile> calibration;  ///< nullptr: the profile or the role needs none
  uint64_t lookup_timeout_ns = 0;
  uint64_t fetch_timeout_ns = 0;
  uint64_t save_timeout_ns = 0;
  uint64_t staging_bytes = 0;  ///< 0 for a lookup
  int core = -1;               ///< of the link thread; -1: not pinned
  int device = -1;             ///< GPU that holds the pages; -1: the host does
  bool direct_pages = false;   ///< parts are copied between host memory and pages on that GPU

  StagingPlace staging_place() const { return {device, device >= 0 && !direct_pages}; }
  const KvGeometry& geometry() const { return space.geometry; }
  /// The first message of a link.
  LinkHello hello() const;
};

enum class ClientRole : uint8_t { kLookup, kTransfer };

/// Fills in defaults; reads the calibration, or asks the plane for it, which may take 5 s (engine_profile.h).
/// kConfig with a sentence in `message` that names the field.
Result<ClientOptions> read_options(const ss_options& options, ClientRole role, std::string& message);

}  // namespace shadowserve
