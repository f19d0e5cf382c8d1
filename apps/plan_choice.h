// Which profile answers soonest on a given link with given cores: arithmetic on measured rates, nothing else.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace shadowserve {

/// What a profile costs and what it loses.
struct ProfileCost {
  std::string name;
  double ratio = 1;         ///< values over bytes on the wire, everything counted
  double unpack_per_s = 0;  ///< bytes of values that one core turns out a second
  double divergence = 0;    ///< mean KL divergence of the next token's distribution, nats; 0 = lossless
};

/// Where fetching happens.
struct Deployment {
  double link_per_s = 0;  ///< bytes a second
  double cores = 1;
  double value_bytes = 0;  ///< of the whole prefix
  double part_bytes = 0;   ///< values of one record: what the stages overlap by
  double compute_s = 0;    ///< what computing the prefix takes; 0 = not known
};

struct PlanLine {
  ProfileCost cost;
  double wire_bytes = 0;
  double link_s = 0;   ///< the link alone
  double core_s = 0;   ///< receiving and unpacking alone, on all cores
  double fetch_s = 0;  ///< both together: the slower one, and the other's part of one record
  bool link_bound() const { return link_s >= core_s; }
};

PlanLine plan_line(const ProfileCost& cost, const Deployment& deployment);

/// The index of the line to take: the soonest of those that lose at most `divergence_max`; of lines within 3
/// % of it the one that loses least. REQUIRES a line that loses nothing.
size_t choose_line(std::span<const PlanLine> lines, double divergence_max);

/// From which link rate on (bytes a second, ascending) which profile is the choice, all else the same.
struct Crossover {
  double link_per_s = 0;
  std::string profile;
};
std::vector<Crossover> crossovers(std::span<const ProfileCost> costs, Deployment deployment,
                                  double divergence_max);

}  // namespace shadowserve
