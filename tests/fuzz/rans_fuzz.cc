// libFuzzer target for rANS frames. Seeds: `rans_fuzz CORPUS tests/fuzz/rans`.
#include "fuzz/rans_mutant.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shadowserve::decode_rans_mutant(std::as_bytes(std::span(data, size)));
  return 0;
}
