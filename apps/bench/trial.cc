// Runs trials in turns, and makes medians and spreads of their rates.
#include "bench/trial.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace shadowserve {
namespace {

constexpr double kSilentSeconds = 2;

/// On a terminal one line that changes, elsewhere a line every ten seconds.
class Progress {
 public:
  explicit Progress(size_t steps) : steps_(steps), terminal_(isatty(STDERR_FILENO) == 1) { total_.start(); }
  void step(const std::string& what) {
    total_.stop();
    total_.start();
    ++done_;
    const double now = total_.seconds();
    if (now < kSilentSeconds || now < next_) return;
    next_ = now + (terminal_ ? 0.2 : 10);
    fmt::print(stderr, "{}bench: {} of {} trials, {:.0f} s, {:40.40}{}", terminal_ ? "\r" : "", done_, steps_,
               now, what, terminal_ ? "" : "\n");
    std::fflush(stderr);
    shown_ = true;
  }
  ~Progress() {
    if (shown_ && terminal_) fmt::print(stderr, "\r{:80}\r", "");
  }

 private:
  size_t steps_, done_ = 0;
  bool terminal_, shown_ = false;
  double next_ = 0;
  Stopwatch total_;
};

/// Linear between neighbours; `rates` is sorted and not empty.
double quantile(const std::vector<double>& rates, double part) {
  const double at = part * static_cast<double>(rates.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, rates.size() - 1);
  return rates[below] + (rates[above] - rates[below]) * (at - static_cast<double>(below));
}

}  // namespace

Spread spread_of(std::vector<double> rates) {
  if (rates.empty()) return {};
  std::sort(rates.begin(), rates.end());
  return {quantile(rates, 0.5), quantile(rates, 0.25), quantile(rates, 0.75)};
}

std::string spread_text(const Measure& measure, int places) {
  const Spread spread = spread_of(measure.rates);
  return fmt::format("{:{}.3f} ({:.2f}-{:.2f})", spread.median, places, spread.p25, spread.p75);
}

double paired_ratio(const Measure& a, const Measure& b) {
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(a.rates.size(), b.rates.size()); ++i) {
    ratios.push_back(a.rates[i] / b.rates[i]);
  }
  return spread_of(std::move(ratios)).median;
}

double BenchRow::fact(const std::string& wanted) const {
  for (const auto& [key, value] : facts) {
    if (key == wanted) return value;
  }
  throw std::logic_error(fmt::format("row {} has no {}", name, wanted));
}

const Measure& BenchRow::measure(const std::string& wanted) const {
  if (const Measure* found = find_measure(wanted)) return *found;
  throw std::logic_error(fmt::format("row {} has no {}", name, wanted));
}

const Measure* BenchRow::find_measure(const std::string& wanted) const {
  for (const Measure& measure : measures) {
    if (measure.name == wanted) return &measure;
  }
  return nullptr;
}

void Trial::add_rate(const std::string& measure, double amount, double seconds) {
  const auto found = std::find_if(row.measures.begin(), row.measures.end(),
                                  [&](const Measure& known) { return known.name == measure; });
  Measure& into = found != row.measures.end() ? *found : row.measures.emplace_back(Measure{measure, {}});
  into.rates.push_back(amount * 1e-9 / std::max(seconds, 1e-9));
}

std::vector<BenchRow> run_rounds(const Trials& trials, int repetitions) {
  Progress progress(trials.size() * static_cast<size_t>(repetitions + 1));
  for (int round = 0; round <= repetitions; ++round) {
    for (const auto& trial : trials) {
      trial->repeat(round > 0);
      progress.step(trial->row.name);
    }
  }
  std::vector<BenchRow> rows;
  for (const auto& trial : trials) rows.push_back(trial->row);
  return rows;
}

}  // namespace shadowserve
