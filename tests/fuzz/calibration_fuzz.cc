// libFuzzer target for calibration files. Seeds: `calibration_fuzz CORPUS tests/fuzz/calibration`.
#include "fuzz/calibration_mutant.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shadowserve::read_calibration_mutant(std::as_bytes(std::span(data, size)));
  return 0;
}
