// libFuzzer target for Deflate streams side by side. Seeds: `deflate_fuzz CORPUS tests/fuzz/deflate`.
#include "fuzz/deflate_mutant.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shadowserve::decode_mutant(std::as_bytes(std::span(data, size)));
  return 0;
}
