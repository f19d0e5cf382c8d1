// Which engine gets a request.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/fleet/fleet_options.h"

namespace shadowserve::fleet {

/// Knows every engine's open requests. Least loaded: of equally loaded engines the one that has been so for
/// longest; all three policies cost the same for 10,000 engines as for one. One thread.
class Router {
 public:
  Router(Routing routing, uint32_t engines);
  /// One more request for the engine that is returned.
  uint32_t route(uint64_t session);
  /// One of its requests has ended.
  void done(uint32_t engine);
  uint32_t load(uint32_t engine) const { return engines_[engine].load; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Place {
    uint32_t load = 0, before = kNone, behind = kNone;
  };
  struct Row {
    uint32_t first = kNone, last = kNone;
  };
  void move(uint32_t engine, uint32_t load);

  const Routing routing_;
  uint32_t turn_ = 0, lightest_ = 0;
  std::vector<Place> engines_;
  std::vector<Row> rows_;  // of equally loaded engines, by load
};

}  // namespace shadowserve::fleet
