// Makes a CA and certificates for both ends of the link across machines.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "contract/result.h"

namespace shadowserve {

struct TlsKeysOptions {
  std::string folder;
  std::vector<std::string> names;  ///< host names and addresses of the data plane
  /// Seconds from now. A certificate is taken to be valid a little before it was made: clocks differ.
  int64_t valid_from_s = -300;
  int64_t valid_until_s = int64_t{825} * 86'400;
};

/// Name that every data plane's certificate has, besides those asked for.
inline constexpr const char* kPlaneName = "shadowserve-plane";

/// Writes ca.pem, ca.key, plane.pem, plane.key, engine.pem, engine.key (keys: mode 0600). A CA that the
/// folder has already is used again, so that certificates can be renewed one side after the other; it is
/// valid for ten years. kConfig or kSystem with a sentence in `message`.
Result<void> make_tls_keys(const TlsKeysOptions& options, std::string& message);

}  // namespace shadowserve
