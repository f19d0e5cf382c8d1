// `shadowserve doctor`: is this machine ready, and what to do where it is not.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "command.h"
#include "doctor.h"

namespace shadowserve {
namespace {

constexpr const char* kFooter = R"(
Examples:
  shadowserve doctor
  shadowserve doctor --store redis://cache:6379 --cores 2-3      would these settings work?
  shadowserve doctor --python .venv/bin/python                   where the engine lives

Exit code: 0 when nothing failed (warnings are advice), 1 otherwise.)";

struct DoctorOptions {
  SettingFlags settings;
  std::string python = "python3";
};

void show(const Finding& finding, bool colour) {
  static constexpr const char* kWords[] = {"ok", "warn", "fail"};
  static constexpr const char* kColours[] = {"\x1b[32m", "\x1b[33m", "\x1b[31m"};
  fmt::print("{}{:<5}{}{:<12} {}\n", colour ? kColours[finding.grade] : "", kWords[finding.grade],
             colour ? "\x1b[0m" : "", finding.subject, finding.found);
  if (!finding.advice.empty()) fmt::print("     {:<12} -> {}\n", "", finding.advice);
}

int run_doctor(const DoctorOptions& options) {
  const Settings settings = options.settings.load();
  const bool colour = isatty(STDOUT_FILENO) != 0;
  int counts[3] = {};
  const auto tell = [&](const std::vector<Finding>& findings) {
    for (const Finding& finding : findings) {
      show(finding, colour);
      ++counts[finding.grade];
    }
    std::fflush(stdout);
  };
  tell(examine_machine(settings));
  tell(examine_neighbours(settings, options.python));
  tell(examine_network(settings));
  fmt::print("{} ok, {} to look at, {} failed\n", counts[Finding::kOk], counts[Finding::kWarn],
             counts[Finding::kFail]);
  return counts[Finding::kFail] > 0 ? 1 : 0;
}

}  // namespace

Command add_doctor_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand("doctor", "Check this machine and say what to do");
  app->footer(kFooter);
  const auto options = std::make_shared<DoctorOptions>();
  options->settings.add_to(
      *app, {"store", "socket", "cores", "fetch_slots", "save_slots", "pin_memory", "engines", "receive",
             "listen", "tls_certificate", "tls_key", "tls_ca", "tls_name", "window"});
  app->add_option("--python", options->python, "the engine's Python")
      ->type_name("PATH")
      ->capture_default_str();
  return {app, [options] { return run_doctor(*options); }};
}

}  // namespace shadowserve
