// A record store that misbehaves on a schedule drawn from a seed: the worst that a store may do. For tests.
#pragma once

#include <memory>

#include "store/record_store.h"

namespace shadowserve {

/// Chances, 0 to 1, drawn once for each operation. What harms a value is applied to gets that succeed.
struct StoreFaults {
  uint64_t seed = 1;
  double miss = 0;     ///< get, exists: kMiss although it may be there
  double refused = 0;  ///< kStoreRefused
  double down = 0;     ///< kStoreDown
  double stuck = 0;    ///< not answered until its deadline
  double late = 0;     ///< the answer is held back for up to delay_ns_max, at most until the deadline
  uint64_t delay_ns_max = 10'000'000;
  double flipped = 0;      ///< one bit of the value is wrong
  double truncated = 0;    ///< the value ends early
  double wrong_value = 0;  ///< the value of another key that was asked for recently
};

/// How often each fault happened: a test that saw none has tested nothing.
struct StoreFaultCounts {
  uint64_t miss = 0, refused = 0, down = 0, stuck = 0, late = 0, flipped = 0, truncated = 0, wrong_value = 0;
};

/// Wraps a client; with the same seed, calls and clock it does the same. `counts`, where given, must outlive
/// it. Allocates nothing after this call. wake_fd() is -1: poll periodically.
std::unique_ptr<RecordStore> make_faulty_store(std::unique_ptr<RecordStore> inner, const Clock& clock,
                                               uint32_t depth, const StoreFaults& faults,
                                               StoreFaultCounts* counts = nullptr);

/// The same for a whole backend: every client it makes is faulty, each with a seed of its own.
std::unique_ptr<StoreBackend> make_faulty_backend(std::unique_ptr<StoreBackend> inner,
                                                  const StoreFaults& faults,
                                                  StoreFaultCounts* counts = nullptr);

}  // namespace shadowserve
