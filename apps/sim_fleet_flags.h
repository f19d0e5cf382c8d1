// The flags of `shadowserve sim fleet`.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "sim/fleet/fleet_options.h"

namespace shadowserve {

struct FleetAsked {
  fleet::FleetOptions options;
  std::string engine = "l40s", workload = "chat", routing = "least-loaded", fetch = "stored";
  std::string sweep, json, plot;
  /// Over the preset's, when given (not negative).
  double prefill_us = -1, attention_ps = -1, step_ms = -1, engine_price = -1;
  int64_t kv_tokens = -1, step_tokens = -1, running = -1;
  bool baseline = true, hours_given = false;

  /// The options with everything that was asked for by name. Does not check bounds (fleet::complaint() does).
  fleet::FleetOptions complete() const;
};

/// `asked` must outlive the parsing.
void add_fleet_flags(CLI::App& app, FleetAsked& asked);

}  // namespace shadowserve
