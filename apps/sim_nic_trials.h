// What a prediction needs to know of this machine: a lane's stages, answers, the store's server, memory.
#pragma once

#include <memory>

#include "bench/lane_circle.h"
#include "bench/trial.h"

namespace shadowserve {

inline constexpr const char* kAnswerNs = "answer_ns";  ///< to wake a client that sleeps on another core
inline constexpr const char* kClientNs = "client_ns";  ///< of the client's core for each wake
inline constexpr const char* kCopyMoved =
    "moved_gb_s";  ///< read, read to be overwritten, and written: all cores copying at once
inline constexpr const char* kServed = "served_gbit_s";  ///< compressed
inline constexpr const char* kLaneTable = "lane";

/// What the core beside the lane does meanwhile.
enum class Neighbour : uint8_t {
  kIdle,
  kClient,  ///< wakes as often as a client that is answered
  kSpins,
};

/// Rings a sleeping thread's doorbell as the plane answers an engine: on the last of these cores, the sleeper
/// on any other. `busy`: as where the plane has every core: the others compute, and the sleeper may wake on
/// any. To wake an idle core takes several times as long as to interrupt one that works.
std::unique_ptr<Trial> answer_trial(std::vector<int> cores, bool busy);
/// Each of these cores copies parts to staging memory at the same time.
std::unique_ptr<Trial> memory_trial(std::vector<int> cores);
/// One lane on the last of so many cores of a plane. Measures, in GB/s of values: each stage by its name,
/// while it works; receive gets all time of the lane's core that no other stage counts; and kDelivered, the
/// lane as a whole.
std::unique_ptr<Trial> lane_trial(PipelineBench& bench, uint32_t cores, Neighbour neighbour);
/// What the store's server sends to so many cores that do nothing else, each over a connection of its own.
std::unique_ptr<Trial> server_trial(PipelineBench& bench, uint32_t cores);

}  // namespace shadowserve
