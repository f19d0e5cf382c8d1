// libFuzzer target for streams of the link across machines. Seeds: `network_fuzz CORPUS`, or none.
#include "fuzz/network_mutant.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shadowserve::read_network_mutant(std::as_bytes(std::span(data, size)));
  return 0;
}
