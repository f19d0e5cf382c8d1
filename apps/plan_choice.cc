// The stages overlap, so a fetch takes what its slowest resource takes, and a record's share of the others.
#include "plan_choice.h"

#include <algorithm>
#include <cmath>

#include "contract/check.h"

namespace shadowserve {
namespace {

// A core that only receives takes 4 to 8 GB a second from a socket.
constexpr double kReceivePerCoreSecond = 5e9;
constexpr double kCloseEnough = 1.03;

constexpr double kBytesPerGbit = 1e9 / 8;
constexpr double kLinkFirst = 0.5 * kBytesPerGbit;
constexpr double kLinkLast = 800 * kBytesPerGbit;
constexpr double kLinkStep = 1.02;

}  // namespace

PlanLine plan_line(const ProfileCost& cost, const Deployment& deployment) {
  PlanLine line;
  line.cost = cost;
  line.wire_bytes = deployment.value_bytes / cost.ratio;
  line.link_s = line.wire_bytes / deployment.link_per_s;
  const double core_seconds =
      deployment.value_bytes / cost.unpack_per_s + line.wire_bytes / kReceivePerCoreSecond;
  line.core_s = core_seconds / deployment.cores;
  const double records = std::max(1.0, deployment.value_bytes / deployment.part_bytes);
  line.fetch_s = std::max(line.link_s, line.core_s) + std::min(line.link_s, line.core_s) / records;
  return line;
}

size_t choose_line(std::span<const PlanLine> lines, double divergence_max) {
  const auto allowed = [&](const PlanLine& line) { return line.cost.divergence <= divergence_max; };
  double soonest = INFINITY;
  for (const PlanLine& line : lines) {
    if (allowed(line)) soonest = std::min(soonest, line.fetch_s);
  }
  SS_CHECK(std::isfinite(soonest), "a line that loses nothing is always allowed");
  size_t best = lines.size();
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!allowed(lines[i]) || lines[i].fetch_s > soonest * kCloseEnough) continue;
    if (best == lines.size() || lines[i].cost.divergence < lines[best].cost.divergence ||
        (lines[i].cost.divergence == lines[best].cost.divergence && lines[i].fetch_s < lines[best].fetch_s)) {
      best = i;
    }
  }
  return best;
}

std::vector<Crossover> crossovers(std::span<const ProfileCost> costs, Deployment deployment,
                                  double divergence_max) {
  std::vector<Crossover> found;
  for (double link = kLinkFirst; link <= kLinkLast; link *= kLinkStep) {
    deployment.link_per_s = link;
    std::vector<PlanLine> lines;
    for (const ProfileCost& cost : costs) lines.push_back(plan_line(cost, deployment));
    const std::string& chosen = lines[choose_line(lines, divergence_max)].cost.name;
    if (found.empty() || found.back().profile != chosen) found.push_back({link, chosen});
  }
  return found;
}

}  // namespace shadowserve
