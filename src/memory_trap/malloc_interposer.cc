// Interposes glibc's malloc family so that the frozen heap sees every allocation of the program's threads.
#include <cerrno>
#include <cstddef>

#include "memory/frozen_heap.h"

#if defined(__GLIBC__) && !defined(SHADOWSERVE_SANITIZED)

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* pointer, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  shadowserve::heap_watch::note_allocation();
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  shadowserve::heap_watch::note_allocation();
  return __libc_calloc(count, size);
}
void* realloc(void* pointer, size_t size) {
  shadowserve::heap_watch::note_allocation();
  return __libc_realloc(pointer, size);
}
void* memalign(size_t alignment, size_t size) {
  shadowserve::heap_watch::note_allocation();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** out, size_t alignment, size_t size) {
  void* pointer = memalign(alignment, size);
  if (pointer == nullptr) return ENOMEM;
  *out = pointer;
  return 0;
}
}  // extern "C"

namespace {
struct Announce {
  Announce() { shadowserve::heap_watch::note_interposer_present(); }
} announce;
}  // namespace

#endif
