// An SPSC ring in this process's own memory.
#pragma once

#include <cstddef>
#include <new>

#include "memory/spsc_ring.h"

namespace shadowserve {

/// Owns the memory of one SpscRing. Same threads as SpscRing: one pushes, one pops.
template <typename Entry>
class LocalRing {
 public:
  explicit LocalRing(uint32_t capacity)
      : memory_(::operator new(SpscRing<Entry>::bytes(capacity), kAlignment)),
        ring_(SpscRing<Entry>::create(memory_, capacity)) {}
  ~LocalRing() { ::operator delete(memory_, kAlignment); }
  LocalRing(const LocalRing&) = delete;
  LocalRing& operator=(const LocalRing&) = delete;
  SpscRing<Entry>* operator->() { return &ring_; }
  const SpscRing<Entry>* operator->() const { return &ring_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  void* memory_;
  SpscRing<Entry> ring_;
};

}  // namespace shadowserve
