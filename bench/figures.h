// Repeated measurements and how they are printed.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace shadowserve {

inline int bench_repeats = 9;

struct Figure {
  double least = 0, median = 0, most = 0;
};

/// Of bench_repeats runs.
inline Figure figure_of(const std::function<double()>& run) {
  run();  // the first one pays for what is lazy
  std::vector<double> all(static_cast<size_t>(bench_repeats));
  for (double& value : all) value = run();
  std::sort(all.begin(), all.end());
  return {all.front(), all[all.size() / 2], all.back()};
}

inline std::string text(const Figure& figure) {
  char out[64];
  std::snprintf(out, sizeof(out), "%.1f [%.1f-%.1f]", figure.median, figure.least, figure.most);
  return out;
}

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace shadowserve
