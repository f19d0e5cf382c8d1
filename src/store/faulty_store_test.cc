// The faulty twin does what it is told, as often as it is told, and the same every time.
#include "store/faulty_store.h"

#include <gtest/gtest.h>

#include "store/memory_store.h"
#include "store/store_trial.h"

namespace shadowserve {
namespace {

constexpr size_t kBytes = 1000;

struct Outcome {
  uint64_t good = 0, short_values = 0, other_values = 0, damaged = 0;
  std::vector<Error> errors;
};

/// 400 gets of 40 records through a faulty client, on a virtual clock.
Outcome play(const StoreFaults& faults, StoreFaultCounts& counts) {
  std::string message;
  auto backend = open_memory_store(10'000'000, message);
  VirtualClock clock;
  auto plain = std::move(*(*backend)->client(clock, 8));
  StoreDone done[8];
  for (uint64_t i = 0; i < 40; ++i) {
    const auto value = trial_value(i, kBytes);
    EXPECT_TRUE(plain->put(i, trial_key(i), value, UINT64_MAX));
    EXPECT_EQ(plain->poll(done), 1u);
  }
  const auto faulty = make_faulty_store(std::move(plain), clock, 8, faults, &counts);
  Outcome out;
  for (uint64_t i = 0; i < 400; ++i) {
    std::vector<std::byte> into(kBytes);
    const uint64_t deadline_ns = clock.now_ns() + 50 * kNsPerMs;
    EXPECT_TRUE(faulty->get(i, trial_key(i % 40), into, deadline_ns));
    size_t count = 0;
    while ((count = faulty->poll(done)) == 0 && clock.now_ns() <= deadline_ns) clock.advance_ns(kNsPerMs);
    EXPECT_EQ(count, 1u);
    EXPECT_EQ(done[0].ticket, i);
    out.errors.push_back(done[0].error);
    if (done[0].error != Error::kNone) continue;
    const auto right = trial_value(i % 40, kBytes);
    if (done[0].bytes < kBytes) {
      ++out.short_values;
    } else if (into == right) {
      ++out.good;
    } else {
      size_t wrong = 0;
      for (size_t byte = 0; byte < kBytes; ++byte) wrong += into[byte] != right[byte] ? 1 : 0;
      ++(wrong == 1 ? out.damaged : out.other_values);
    }
  }
  EXPECT_EQ(faulty->in_flight(), 0u);
  return out;
}

TEST(FaultyStore, WithoutFaultsChangesNothing) {
  StoreFaultCounts counts;
  EXPECT_EQ(play({}, counts).good, 400u);
}

TEST(FaultyStore, CausesEveryFault) {
  StoreFaultCounts counts;
  const Outcome out = play({.seed = 7,
                            .miss = 0.1,
                            .refused = 0.1,
                            .down = 0.1,
                            .stuck = 0.1,
                            .late = 0.2,
                            .flipped = 0.1,
                            .truncated = 0.1,
                            .wrong_value = 0.1},
                           counts);
  for (const uint64_t count : {counts.miss, counts.refused, counts.down, counts.stuck, counts.late,
                               counts.flipped, counts.truncated, counts.wrong_value}) {
    EXPECT_GT(count, 5u);
  }
  const auto errors = [&](Error error) {
    return static_cast<uint64_t>(std::count(out.errors.begin(), out.errors.end(), error));
  };
  EXPECT_EQ(errors(Error::kMiss), counts.miss);
  EXPECT_EQ(errors(Error::kStoreRefused), counts.refused);
  EXPECT_EQ(errors(Error::kStoreDown), counts.down);
  EXPECT_EQ(errors(Error::kDeadline), counts.stuck);
  EXPECT_EQ(out.short_values, counts.truncated);
  EXPECT_GT(out.other_values, 0u);
  EXPECT_GT(out.damaged, 0u);
}

TEST(FaultyStore, RepeatsItselfWithTheSameSeed) {
  const StoreFaults faults = {.seed = 3, .miss = 0.3, .down = 0.3, .late = 0.5};
  StoreFaultCounts one, two, three;
  EXPECT_EQ(play(faults, one).errors, play(faults, two).errors);
  StoreFaults other = faults;
  other.seed = 4;
  EXPECT_NE(play(faults, one).errors, play(other, three).errors);
}

}  // namespace
}  // namespace shadowserve
