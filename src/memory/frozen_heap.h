// The frozen heap: after start a data-plane thread must not allocate; this counts it when one does.
#pragma once

#include <cstdint>

namespace shadowserve {

/// From now on every malloc/new of the calling thread counts as a broken promise (and aborts when
/// abort_on_frozen_allocation() was called). Works where memory_trap/malloc_interposer.cc is linked in.
void freeze_heap_on_this_thread();
/// Ends it: for threads that shut down.
void thaw_heap_on_this_thread();
/// Allocations by frozen threads since start, all threads together.
uint64_t frozen_allocations();
/// True when the interposer is part of this program, i.e. when frozen_allocations() can be trusted.
bool heap_is_watched();
/// Tests: make the first such allocation abort, so that a debugger shows who it was.
void abort_on_frozen_allocation(bool on);

namespace heap_watch {
/// Called by the interposer for every allocation. Must not allocate.
void note_allocation();
void note_interposer_present();
}  // namespace heap_watch

}  // namespace shadowserve
