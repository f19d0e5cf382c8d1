// SS_CHECK: an always-on assertion for bugs. It prints the broken promise and aborts; never use it for input.
#pragma once

namespace shadowserve {

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* promise);

}  // namespace shadowserve

/// SS_CHECK(size <= capacity, "the caller sized the region");
#define SS_CHECK(condition, promise)                                        \
  do {                                                                      \
    if (!(condition)) [[unlikely]]                                          \
      ::shadowserve::check_failed(__FILE__, __LINE__, #condition, promise); \
  } while (false)
