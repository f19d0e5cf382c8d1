// Which codec profile an engine uses: the one it names, or for `auto` what its model has a calibration for.
#pragma once

#include <string>

#include "contract/result.h"
#include "control/client_options.h"
#include "shadowserve/shadowserve.h"

namespace shadowserve {

/// The default: `balanced` where the data plane has a calibration of the model (or the engine brings one),
/// else `generic`; `raw` for caches of fp8 and latent ones. Never part of a chunk's key: what it becomes is.
inline constexpr const char* kAutoProfile = "auto";

/// Empty when `profile` is one that an object of this role takes; else a sentence that names the nearest one.
/// Lookups also take what ss_transfer_profile() gives: "balanced:" and a calibration's hash.
std::string profile_problem(const std::string& profile, ClientRole role);

/// Empty when `profile`, which has no problem, codes such a KV cache; else a sentence that names those that
/// do.
std::string misfit_of(const std::string& profile, const KvGeometry& geometry);

/// Turns options.profile, which has no problem, into the profile in use, with its calibration and what of it
/// is part of keys. Reads the calibration, or asks the plane for it: blocks for 5 s at the longest. Only for
/// `auto` it is no error that the plane has none, or does not answer. Errors: kConfig and the plane's, with a
/// sentence in `message`.
Result<void> settle_profile(const ss_options& from, ClientOptions& options, std::string& message);

}  // namespace shadowserve
