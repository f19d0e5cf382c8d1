// Prints a broken promise and aborts.
#include "contract/check.h"

#include <cstdio>
#include <cstdlib>

namespace shadowserve {

void check_failed(const char* file, int line, const char* condition, const char* promise) {
  std::fprintf(stderr, "shadowserve: bug at %s:%d: %s is false, but %s\n", file, line, condition, promise);
  std::abort();
}

}  // namespace shadowserve
