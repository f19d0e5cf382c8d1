// The bench's rows: trials that are repeated in turns, so that whatever else the machine does hits all of
// them alike.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace shadowserve {

/// A rate, once a repetition.
struct Measure {
  std::string name;  ///< with its unit, as in the JSON: "decode_gb_s"
  std::vector<double> rates;
};

/// Middle, and where the middle half lies.
struct Spread {
  double median = 0, p25 = 0, p75 = 0;
};
Spread spread_of(std::vector<double> rates);

/// "1.234 (1.20-1.25)": the middle, on the right of so many places, and the middle half.
std::string spread_text(const Measure& measure, int places);

/// The median of a's rate over b's, repetition by repetition.
double paired_ratio(const Measure& a, const Measure& b);

struct BenchRow {
  std::string table;  ///< "profiles", "coders" or "pages"
  std::string name, note;
  std::vector<std::pair<std::string, double>> facts;  ///< numbers that no clock makes, like a ratio
  std::vector<Measure> measures;

  double fact(const std::string& name) const;                  ///< REQUIRES that it is there
  const Measure& measure(const std::string& name) const;       ///< likewise
  const Measure* find_measure(const std::string& name) const;  ///< nullptr when it is not there
};

class Trial {
 public:
  virtual ~Trial() = default;
  /// Everything once. `row` gets one more rate for each measure when `counted`, and its facts the first time.
  /// Throws WrongDecode.
  virtual void repeat(bool counted) = 0;

  BenchRow row;

 protected:
  /// Adds a rate of `amount` (in 10^9) by seconds to the measure, which is made when it is new.
  void add_rate(const std::string& measure, double amount, double seconds);
};

using Trials = std::vector<std::unique_ptr<Trial>>;

/// One uncounted round, then `repetitions` rounds. Returns the rows. After two seconds tells on stderr how
/// far it is.
std::vector<BenchRow> run_rounds(const Trials& trials, int repetitions);

/// Adds up the time of the laps between.
class Stopwatch {
 public:
  void start() { started_ = Clock::now(); }
  void stop() { seconds_ += std::chrono::duration<double>(Clock::now() - started_).count(); }
  double seconds() const { return seconds_; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point started_;
  double seconds_ = 0;
};

}  // namespace shadowserve
