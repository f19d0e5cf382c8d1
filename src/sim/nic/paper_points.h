// What the paper says of its engines, what the simulator says of the same, and what that rests on.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/nic/serving_study.h"

namespace shadowserve::nic {

/// The numbers that come from the paper: two rates are fitted, the other two are put in. Bits.
enum PaperInput : uint8_t {
  kNetworkRate = 1,   ///< of receiving alone
  kPipelineRate = 2,  ///< of the whole pipeline
  kInterference = 4,
  kGpuRate = 8,  ///< chosen as the highest at which the paper still has CacheGen-Async ahead
};
struct PaperInputName {
  PaperInput input;
  char letter;  ///< in tables
  std::string_view name;
};
inline constexpr PaperInputName kPaperInputs[] = {{kNetworkRate, 'a', "network_rate"},
                                                  {kPipelineRate, 'b', "pipeline_rate"},
                                                  {kInterference, 'c', "interference"},
                                                  {kGpuRate, 'd', "gpu_rate"}};

/// What the paper says and what the simulator does.
struct PaperPoint {
  std::string what;
  double paper = 0;
  SeedSpread ours;
  std::optional<double> without;  ///< the median with an interference of 1, where that changes anything
  uint8_t rests_on = 0;           ///< a sum of PaperInput
  bool fitted = false;
  bool bound = false;  ///< the paper only says "above"
  bool near() const;   ///< the median is within 15 %, or above
};

/// The rows that are no fit. `quiet` has the same points with an interference of 1: the negative control.
std::vector<PaperPoint> beside_the_paper(const std::vector<ServingPoint>& serving,
                                         const std::vector<ServingPoint>& quiet, uint32_t shortest_output);

}  // namespace shadowserve::nic
