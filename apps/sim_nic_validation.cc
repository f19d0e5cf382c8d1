// Measures, predicts, runs.
#include "sim_nic_validation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>

#include "command.h"
#include "sim/nic/fetch_simulation.h"
#include "sim_nic_trials.h"

namespace shadowserve {
namespace {

constexpr uint64_t kWarmParts = 100, kPartsPerCore = 200;
constexpr uint32_t kSlotsPerCore = 8, kSlotsMin = 16;  // the plane's own defaults
constexpr double kDisturbed = 0.03;

double load() {
  double average = 0;
  return getloadavg(&average, 1) == 1 ? average : 0;
}

/// The first thread of each core, where the machine says which threads share one.
std::vector<int> one_thread_a_core(const std::vector<int>& threads) {
  std::vector<int> cores;
  std::set<std::string> seen;
  for (const int thread : threads) {
    std::string siblings;
    std::getline(
        std::ifstream(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", thread)),
        siblings);
    if (siblings.empty() || seen.insert(siblings).second) cores.push_back(thread);
  }
  return cores;
}

/// The trials of a setting. Rates of their rows are one a round.
struct SettingTrials {
  Trials trials;
  Trial *lane = nullptr, *plane = nullptr, *answer = nullptr;
  Trial *server = nullptr, *memory = nullptr, *idle = nullptr, *spins = nullptr;  ///< or not needed

  SettingTrials(PipelineBench& bench, const ValidationSetting& setting, const std::vector<int>& cores,
                bool neighbours) {
    const auto add = [&](std::unique_ptr<Trial> trial) {
      return trials.emplace_back(std::move(trial)).get();
    };
    answer = add(answer_trial(cores, /*busy=*/bench.machine_cores() <= setting.cores));
    if (setting.store == "redis") server = add(server_trial(bench, setting.cores));
    if (setting.cores > 1) memory = add(memory_trial(cores));
    if (neighbours) idle = add(lane_trial(bench, setting.cores, Neighbour::kIdle));
    if (neighbours) spins = add(lane_trial(bench, setting.cores, Neighbour::kSpins));
    lane = add(lane_trial(bench, setting.cores, Neighbour::kClient));
    plane = add(plane_trial(bench, setting.link_gbit_s, setting.cores, "sockets"));
  }
};

double rate(const Trial& trial, const std::string& measure, size_t round) {
  return trial.row.measure(measure).rates.at(round);
}

/// This machine's model: every number was measured in this round.
nic::NicMachine measured_machine(const SettingTrials& trials, const ValidationPoint& point,
                                 const nic::RecordSet& records, uint32_t fetch_slots, uint32_t cores_left,
                                 size_t round) {
  nic::NicMachine machine;
  machine.name = "this machine";
  machine.cores = point.setting.cores;
  machine.fetch_slots = fetch_slots;
  machine.separate_stages = point.setting.separate_stages;
  if (trials.memory != nullptr) machine.memory_gb_s = rate(*trials.memory, kCopyMoved, round);
  const double client_ns = rate(*trials.answer, kClientNs, round);
  if (trials.server != nullptr) {
    // Where the server has the client on its core, each record waits for one turn of the client's.
    const double bits = 8 * static_cast<double>(records.record_bytes) / records.geometry.parts();
    const double wait_ns = cores_left > 1 ? 0 : client_ns;
    machine.network_gbit_s = bits / (bits / rate(*trials.server, kServed, round) + wait_ns);
  }
  const auto values = static_cast<double>(records.value_bytes),
             symbols = static_cast<double>(records.symbol_bytes);
  const auto coded = static_cast<double>(records.coded_bytes),
             scales = static_cast<double>(records.scale_bytes);
  for (const Measure& measure : trials.lane->row.measures) {
    if (measure.name == kDelivered || measure.name == kWaited) continue;
    nic::StageCost& cost = machine.stages[measure.name];
    const double ns = values / measure.rates.at(round);  // for all records of the set
    cost.memory_bytes = {.in = 1, .out = 1};
    if (measure.name == "receive") cost.ns.in = ns / static_cast<double>(records.record_bytes);
    if (measure.name == "decompress") cost.ns.in = ns / coded;
    if (measure.name == "dequantize") cost.ns.in = ns / (symbols + scales);
    if (measure.name == "deliver") cost.ns.out = ns / values;
    // Counted by frame; symbols of Deflate frames are counted as well, written and read.
    const bool deflate = records.profile.name().find("deflate") != std::string_view::npos;
    if (measure.name == "unpack") cost.ns.rest = ns / (coded + (deflate ? 2 * symbols : 0));
  }
  machine.stages["reply"].ns.slot = rate(*trials.answer, kAnswerNs, round) + (cores_left > 0 ? 0 : client_ns);
  return machine;
}

/// What anybody would write down without a simulator: every core does its parts one after the other and rings
/// after each; no link gives more than it has.
double by_hand(const SettingTrials& trials, const ValidationSetting& setting, const nic::RecordSet& records,
               size_t round) {
  const double part = static_cast<double>(records.value_bytes) / records.geometry.parts();
  const double part_ns =
      part / rate(*trials.lane, kDelivered, round) + rate(*trials.answer, kAnswerNs, round);
  const double cores_gb_s = setting.cores * part / part_ns;
  const double link_gb_s = setting.link_gbit_s / 8 * records.ratio();
  return link_gb_s > 0 ? std::min(cores_gb_s, link_gb_s) : cores_gb_s;
}

void predict(const SettingTrials& trials, ValidationPoint& point, PipelineBench& bench) {
  const auto records = nic::make_records(bench.profile(), bench.choice().model, bench.input().geometry(),
                                         bench.input().chunk(0));
  if (!records) throw StartError(fmt::format("{}: a chunk does not fit its records", point.setting.name()));
  const nic::FetchPlan plan{.link_gbit_s = point.setting.link_gbit_s,
                            .window = bench.window(),
                            .warm_parts = kWarmParts,
                            .parts = kWarmParts + kPartsPerCore * point.setting.cores};
  const uint32_t cores_left = bench.machine_cores() - point.setting.cores;
  const Measure& real = trials.plane->row.measure(kDelivered);
  for (size_t i = 0; i < real.rates.size(); ++i) {
    ValidationRound round{real.rates[i], 0, by_hand(trials, point.setting, *records, i), 0,
                          std::max(rate(*trials.plane, kWaited, i), rate(*trials.lane, kWaited, i))};
    // Where they share cores the client and the server themselves are what the plane waits for.
    if (!point.shares_cores && round.waited > kDisturbed) {
      ++point.disturbed;
      continue;
    }
    std::string message;
    const auto outcome = nic::simulate_fetches(
        measured_machine(trials, point, *records, bench.options().fetch_slots, cores_left, i), *records, plan,
        message);
    if (!outcome) throw StartError(message);
    round.predicted_gb_s = outcome->values_gb_s;
    round.memory_full = outcome->memory_saturated;
    point.rounds.push_back(round);
  }
}

/// One bench at a time: each has some hundred MB of values, records and staging memory.
ValidationPoint validate(const ValidationSetting& setting, const std::vector<int>& cores,
                         ValidationReport& report) {
  keep_to_cores(0, cores);  // the last setting kept this thread off its plane's
  PipelineBenchOptions options;
  options.profile = setting.profile;
  options.store = setting.store;
  options.separate_stages = setting.separate_stages;
  options.seconds = report.options.seconds;
  options.fetch_slots = std::max(kSlotsMin, kSlotsPerCore * setting.cores);
  PipelineBench bench(options);
  SettingTrials trials(bench, setting, cores, /*neighbours=*/report.points.empty());
  const std::vector<BenchRow> rows = run_rounds(trials.trials, report.options.repetitions);
  ValidationPoint point;
  point.setting = setting;
  point.shares_cores = !bench.enough_cores(setting.cores);
  point.alone.assign(rows.begin(), rows.end() - 1);
  if (trials.idle != nullptr) {
    const Measure& idle = trials.idle->row.measure(kDelivered);
    report.client_over_idle = paired_ratio(trials.lane->row.measure(kDelivered), idle);
    report.spinning_over_idle = paired_ratio(trials.spins->row.measure(kDelivered), idle);
  }
  predict(trials, point, bench);
  return point;
}

/// Those that were asked for, else those that this machine has the cores for.
std::vector<ValidationSetting> chosen_settings(ValidationReport& report) {
  const auto& wanted = report.options.settings;
  std::vector<ValidationSetting> chosen;
  for (const ValidationSetting& setting : validation_settings()) {
    const bool named = std::count(wanted.begin(), wanted.end(), setting.name()) > 0;
    if (!named && !wanted.empty()) continue;
    if (static_cast<int>(setting.cores) <= report.machine.cores) {
      chosen.push_back(setting);
    } else if (named) {
      throw StartError(fmt::format("{}: this process may use {} cores; choose other --settings",
                                   setting.name(), report.machine.cores));
    } else {
      report.left_out.push_back(setting.name());
    }
  }
  return chosen;
}

}  // namespace

double ValidationPoint::median(double ValidationRound::*value) const {
  std::vector<double> values;
  for (const ValidationRound& round : rounds) values.push_back(round.*value);
  return spread_of(std::move(values)).median;
}
Spread ValidationPoint::over_real(double ValidationRound::*predicted) const {
  std::vector<double> ratios;
  for (const ValidationRound& round : rounds) ratios.push_back(round.*predicted / round.real_gb_s);
  return spread_of(std::move(ratios));
}

std::string ValidationSetting::name() const {
  return fmt::format("{}-{}{}-{}core{}", profile, store,
                     link_gbit_s > 0 ? fmt::format("-{:.0f}gbit", link_gbit_s) : "", cores,
                     separate_stages ? "-separate" : "");
}

std::vector<ValidationSetting> validation_settings() {
  std::vector<ValidationSetting> settings{
      {"kv4", "memory", 0, 1, false},         {"int8", "memory", 0, 1, false},
      {"generic", "memory", 0, 1, false},     {"kv4", "memory", 0, 1, true},
      {"kv4+deflate", "memory", 0, 1, false}, {"kv4", "redis", 5, 1, false},
      {"kv4", "redis", 0, 1, false}};
  for (const uint32_t cores : {2u, 4u, 8u}) {
    settings.push_back({"kv4", "memory", 0, cores, false});
    settings.push_back({"int8", "memory", 0, cores, false});
    if (cores > 2) settings.push_back({"kv4", "redis", 0, cores, false});
  }
  return settings;
}

ValidationReport validate_simulator(const ValidationOptions& options) {
  const std::vector<int> threads = allowed_cores();
  const std::vector<int> cores = one_thread_a_core(threads);
  keep_to_cores(0, cores);
  ValidationReport report;
  report.machine = describe_machine();
  report.threads = threads.size();
  report.options = options;
  report.load_before = load();
  const std::vector<ValidationSetting> settings = chosen_settings(report);
  for (size_t i = 0; i < settings.size(); ++i) {
    fmt::print(stderr, "sim nic: {} of {}, {}\n", i + 1, settings.size(), settings[i].name());
    report.points.push_back(validate(settings[i], cores, report));
  }
  keep_to_cores(0, threads);
  report.load_after = load();
  return report;
}

}  // namespace shadowserve
