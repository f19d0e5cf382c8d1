// The simulator beside the real pipeline on this machine: a lane's stages measured alone, the whole predicted
// and then run.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/bench_report.h"
#include "bench/pipeline_trials.h"
#include "bench/trial.h"

namespace shadowserve {

/// One way to run the pipeline.
struct ValidationSetting {
  std::string profile, store;  ///< "memory" or "redis"
  double link_gbit_s = 0;      ///< 0: no limit
  uint32_t cores = 1;
  bool separate_stages = false;
  std::string name() const;
};

struct ValidationOptions {
  std::vector<std::string> settings;  ///< names; empty: all that this machine has the cores for
  double seconds = 0.2;               ///< of each trial and round
  int repetitions = 9;
};

/// One round: what was measured within it, predicted from that, and run.
struct ValidationRound {
  double real_gb_s = 0, predicted_gb_s = 0;
  double by_hand_gb_s = 0;  ///< predicted by one line of arithmetic: what the simulator has to beat
  double memory_full = 0;   ///< share of the simulated time in which memory was the limit
  double waited = 0;        ///< share of its time that something else had a core of the plane's or the lane's
};

struct ValidationPoint {
  ValidationSetting setting;
  bool shares_cores = false;            ///< plane, client and server had to
  std::vector<ValidationRound> rounds;  ///< those that count
  int disturbed = 0;                    ///< rounds that do not
  std::vector<BenchRow> alone;          ///< what the predictions were made from, all rounds
  double median(double ValidationRound::*value) const;
  Spread over_real(double ValidationRound::*predicted) const;  ///< of the rounds' ratios
};

struct ValidationReport {
  BenchMachine machine;
  size_t threads = 0;  ///< that this process may use; more than machine.cores where cores have several
  ValidationOptions options;
  double load_before = 0, load_after = 0;               ///< of the machine, the last minute's
  double client_over_idle = 0, spinning_over_idle = 0;  ///< a lane's rate by what its neighbour does
  std::vector<std::string> left_out;                    ///< settings that want more cores
  std::vector<ValidationPoint> points;
};

/// Every setting that --settings may name, on a machine of any size.
std::vector<ValidationSetting> validation_settings();
/// Setting by setting, measures and runs in turns, then predicts. Throws StartError.
ValidationReport validate_simulator(const ValidationOptions& options);
void print_validation(const ValidationReport& report, std::FILE* out);
nlohmann::ordered_json validation_json(const ValidationReport& report, const std::string& commit);

}  // namespace shadowserve
