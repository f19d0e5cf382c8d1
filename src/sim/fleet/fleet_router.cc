// Rows of equally loaded engines.
#include "sim/fleet/fleet_router.h"

#include "contract/check.h"
#include "sim/fleet/fleet_random.h"

namespace shadowserve::fleet {

Router::Router(Routing routing, uint32_t engines) : routing_(routing), engines_(engines), rows_(1) {
  for (uint32_t engine = 0; engine < engines; ++engine) {
    engines_[engine].before = engine == 0 ? kNone : engine - 1;
    engines_[engine].behind = engine + 1 == engines ? kNone : engine + 1;
  }
  rows_[0] = {0, engines - 1};
}

void Router::move(uint32_t engine, uint32_t load) {
  Place& place = engines_[engine];
  Row& old = rows_[place.load];
  (place.before == kNone ? old.first : engines_[place.before].behind) = place.behind;
  (place.behind == kNone ? old.last : engines_[place.behind].before) = place.before;
  if (load >= rows_.size()) rows_.resize(load + 1);
  Row& row = rows_[load];
  place = {load, row.last, kNone};
  (row.last == kNone ? row.first : engines_[row.last].behind) = engine;
  row.last = engine;
  if (load < lightest_) lightest_ = load;
  while (rows_[lightest_].first == kNone) ++lightest_;
}

uint32_t Router::route(uint64_t session) {
  uint32_t engine = 0;
  switch (routing_) {
    case Routing::kRoundRobin:
      engine = turn_;
      turn_ = turn_ + 1 == engines_.size() ? 0 : turn_ + 1;
      break;
    case Routing::kSticky:
      engine = static_cast<uint32_t>(mixed(session, 0x571c) % engines_.size());
      break;
    case Routing::kLeastLoaded:
      engine = rows_[lightest_].first;
      break;
  }
  move(engine, engines_[engine].load + 1);
  return engine;
}

void Router::done(uint32_t engine) {
  SS_CHECK(engines_[engine].load > 0, "who is done was routed");
  move(engine, engines_[engine].load - 1);
}

}  // namespace shadowserve::fleet
