// What the subcommands share: the settings a subcommand takes as flags, and errors that end the program.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

#include "settings/settings.h"

namespace shadowserve {

/// A start-up error: main() prints the sentence and exits with 1.
struct StartError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Flags for some settings, and the settings that file, environment and flags make together.
class SettingFlags {
 public:
  /// Adds --config and one flag for each name. `app` must outlive the parsing, *this as well.
  void add_to(CLI::App& app, std::initializer_list<std::string_view> names);
  /// Defaults < file < environment < flags. Throws StartError.
  Settings load() const;

 private:
  std::string config_path_;
  std::map<std::string, std::string, std::less<>> given_;
};

/// A parsed subcommand's work; returns the exit code.
struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;
  bool passes_on = false;  ///< what stands behind its name is for somebody else to understand
};

Command add_plane_command(CLI::App& root);
Command add_doctor_command(CLI::App& root);
Command add_inspect_command(CLI::App& root);
Command add_stats_command(CLI::App& root);
Command add_relay_command(CLI::App& root);
Command add_plan_command(CLI::App& root);
Command add_calibrate_command(CLI::App& root);
Command add_quality_command(CLI::App& root);
/// These groups alone only explain themselves; what they can do are subcommands of their own.
Command add_calibration_command(CLI::App& root);
Command add_show_calibration_command(CLI::App& calibration);
Command add_publish_calibration_command(CLI::App& calibration);
Command add_link_command(CLI::App& root);
Command add_link_keys_command(CLI::App& link);
Command add_codec_command(CLI::App& root);
Command add_roundtrip_command(CLI::App& codec);
Command add_bench_command(CLI::App& root);
Command add_codec_bench_command(CLI::App& bench);
Command add_stage_bench_command(CLI::App& bench);
Command add_pipeline_bench_command(CLI::App& bench);
Command add_link_bench_command(CLI::App& bench);
Command add_sim_command(CLI::App& root);
Command add_fleet_sim_command(CLI::App& sim);
Command add_nic_sim_command(CLI::App& sim);

/// Readable once SIGINT or SIGTERM arrives. Blocks both in every thread started afterwards. Throws
/// StartError.
int make_stop_fd();

/// The one JSON document that a data plane serves on `socket_path`. Throws StartError when nobody answers.
std::string read_plane_stats(const std::string& socket_path);

}  // namespace shadowserve
