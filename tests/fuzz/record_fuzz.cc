// libFuzzer target for records. Seed it with the golden ones: `record_fuzz CORPUS tests/golden`.
#include "fuzz/record_mutant.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size <= shadowserve::kRecordBytesMax) {
    shadowserve::open_mutant(std::as_bytes(std::span(data, size)));
  }
  return 0;
}
