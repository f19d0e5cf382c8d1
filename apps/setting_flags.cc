// Settings as flags, and their four sources in order.
#include <unistd.h>

#include <algorithm>

#include "command.h"

namespace shadowserve {
namespace {

std::map<std::string, std::string> read_process_environment() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

std::string flag_of(std::string_view name) {
  std::string flag = "--" + std::string(name);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

}  // namespace

void SettingFlags::add_to(CLI::App& app, std::initializer_list<std::string_view> names) {
  app.add_option("--config", config_path_, "TOML file with settings; default: $SHADOWSERVE_CONFIG")
      ->type_name("FILE");
  const Settings defaults(read_process_environment());
  for (const SettingSpec& spec : setting_specs()) {
    if (std::find(names.begin(), names.end(), spec.name) == names.end()) continue;
    const std::string name(spec.name);
    app.add_option_function<std::string>(
           flag_of(name), [this, name](const std::string& value) { given_[name] = value; },
           std::string(spec.meaning))
        ->type_name(std::string(spec.value_name))
        ->default_str(defaults.text(name));
  }
}

Settings SettingFlags::load() const {
  const auto environment = read_process_environment();
  Settings settings(environment);
  std::string message;
  const auto must = [&](const Result<void>& done) {
    if (!done) throw StartError(message);
  };
  std::string path = config_path_;
  if (const auto found = environment.find("SHADOWSERVE_CONFIG"); path.empty() && found != environment.end()) {
    path = found->second;
  }
  if (!path.empty()) must(settings.read_file(path, message));
  must(settings.read_environment(environment, message));
  for (const auto& [name, value] : given_) must(settings.set(name, value, flag_of(name), message));
  return settings;
}

}  // namespace shadowserve
