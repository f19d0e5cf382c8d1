// Test only: a lookup and a fake plane, stepped in turn on one thread and a virtual clock.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "control/fake_plane.h"
#include "control/lookup.h"
#include "control/test_engine.h"

namespace shadowserve {

class LookupFixture : public testing::Test {
 protected:
  explicit LookupFixture(const std::string& name) : plane(name) {}

  void open_lookup(const ss_options& given) {
    options = checked(given, plane.path(), ClientRole::kLookup);
    lookup = std::make_unique<Lookup>(options, clock, Lookup::Thread::kStepped);
  }
  /// Lets all sides do all they can without time passing.
  void pump() {
    for (int idle = 0; idle < 3;) {
      const bool engine = step_engine();
      const bool other = plane.step();
      idle = engine || other ? 0 : idle + 1;
    }
  }
  virtual bool step_engine() { return lookup->worker().step(); }
  int64_t ask(uint64_t id, const std::vector<ChunkKey>& keys) {
    lookup->start(id, keys);
    pump();
    return lookup->poll(id);
  }
  /// What the plane was told to hold, last asked first.
  void answer_backwards() {
    std::reverse(plane.held.begin(), plane.held.end());
    plane.release_held();
    pump();
  }
  ss_lookup_stats stats() {
    ss_lookup_stats out;
    lookup->read_stats(out);
    EXPECT_EQ(out.chunks_asked, out.chunks_found + out.chunks_missing + out.chunks_timed_out +
                                    out.chunks_without_plane + out.chunks_breaker);
    return out;
  }

  VirtualClock clock;
  FakePlane plane;
  ClientOptions options;
  std::unique_ptr<Lookup> lookup;
};

}  // namespace shadowserve
