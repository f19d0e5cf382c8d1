// Picks the paper's points out of the study's.
#include "sim/nic/paper_points.h"

#include <cmath>
#include <functional>

namespace shadowserve::nic {
namespace {

constexpr double kNearShare = 0.15;
constexpr double kSooner = 0.99;  // by less nobody is sooner
constexpr double kPointGbit = 20;
constexpr uint32_t kPointOutput = 32;
/// Of every comparison with CacheGen-Async: what the pipeline does, and what its rival is given.
constexpr uint8_t kRival = kPipelineRate | kInterference | kGpuRate;

using Points = std::vector<ServingPoint>;
using Value = std::function<SeedSpread(const ServingPoint&)>;

SeedSpread sure(double value) { return {value, value, value}; }

const ServingPoint* named_point(const Points& points) {
  for (const ServingPoint& point : points) {
    if (point.link_gbit_s == kPointGbit && point.output_tokens == kPointOutput) return &point;
  }
  return nullptr;
}

/// The largest of the medians: the largest of all seeds would be a maximum over noise.
SeedSpread largest(const Points& points, double link_max, const Value& value) {
  SeedSpread most;
  for (const ServingPoint& point : points) {
    if (point.link_gbit_s > link_max) continue;
    if (const SeedSpread one = value(point); one.median > most.median) most = one;
  }
  return most;
}

/// 0: none.
double crossover(const Points& points, uint32_t output) {
  for (const ServingPoint& point : points) {
    if (point.output_tokens == output && point.ttft_ratio().median < kSooner) return point.link_gbit_s;
  }
  return 0;
}

}  // namespace

bool PaperPoint::near() const {
  return bound ? ours.median > paper : std::abs(ours.median / paper - 1) <= kNearShare;
}

std::vector<PaperPoint> beside_the_paper(const Points& serving, const Points& quiet,
                                         uint32_t shortest_output) {
  std::vector<PaperPoint> made;
  const Value ttft = [](const ServingPoint& point) { return point.ttft_ratio(); };
  const Value tpot = [](const ServingPoint& point) { return point.tpot_ratio(); };
  const Value throughput = [](const ServingPoint& point) { return sure(point.throughput_ratio()); };
  const auto inverse = [](const Value& value) {
    return [value](const ServingPoint& point) { return value(point).inverse(); };
  };
  const auto at_point = [&](const char* what, double paper, const Value& value) {
    const ServingPoint *ours = named_point(serving), *control = named_point(quiet);
    if (ours == nullptr || control == nullptr) return;
    made.push_back({what, paper, value(*ours), value(*control).median, kRival});
  };
  at_point("TTFT over CacheGen-Async's, 20 Gbit/s, 32 tokens", 0.84, inverse(ttft));
  at_point("loaded TPOT over CacheGen-Async's, 20 Gbit/s, 32 tokens", 0.80, inverse(tpot));
  at_point("throughput over CacheGen-Async's, 20 Gbit/s, 32 tokens", 1.18, throughput);
  const auto extreme = [&](const char* what, double paper, double link_max, const Value& value) {
    made.push_back(
        {what, paper, largest(serving, link_max, value), largest(quiet, link_max, value).median, kRival});
  };
  extreme("largest advantage in loaded TPOT", 2.2, HUGE_VAL, tpot);
  extreme("largest advantage in TTFT, at most 20 Gbit/s", 1.38, kPointGbit, ttft);
  extreme("largest advantage in throughput", 1.35, HUGE_VAL, throughput);
  made.push_back({"first link at which CacheGen-Async is sooner, shortest outputs, Gbit/s", 20,
                  sure(crossover(serving, shortest_output)), crossover(quiet, shortest_output), kRival, false,
                  /*bound=*/true});
  return made;
}

}  // namespace shadowserve::nic
