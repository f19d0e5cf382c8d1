// Bookkeeping of the frozen heap: a thread-local flag and one counter.
#include "memory/frozen_heap.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>

namespace shadowserve {
namespace {

// initial-exec: reading the flag inside malloc must not itself allocate thread-local storage.
__attribute__((tls_model("initial-exec"))) thread_local bool frozen = false;
std::atomic<uint64_t> allocations{0};
std::atomic<bool> watched{false};
std::atomic<bool> abort_at_once{false};

}  // namespace

void freeze_heap_on_this_thread() { frozen = true; }
void thaw_heap_on_this_thread() { frozen = false; }
uint64_t frozen_allocations() { return allocations.load(std::memory_order_relaxed); }
bool heap_is_watched() { return watched.load(std::memory_order_relaxed); }
void abort_on_frozen_allocation(bool on) { abort_at_once.store(on, std::memory_order_relaxed); }

namespace heap_watch {

void note_allocation() {
  if (!frozen) [[likely]]
    return;
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (!abort_at_once.load(std::memory_order_relaxed)) return;
  frozen = false;
  static constexpr char kText[] = "shadowserve: bug: a data-plane thread allocated after start\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kText, sizeof(kText) - 1);
  std::abort();
}

void note_interposer_present() { watched.store(true, std::memory_order_relaxed); }

}  // namespace heap_watch

}  // namespace shadowserve
