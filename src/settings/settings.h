// Every setting of the shadowserve command and the one order in which its sources win.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "contract/result.h"

namespace shadowserve {

enum class SettingKind : uint8_t { kText, kCount, kSwitch, kCores, kEngines, kReceive };

/// One setting. Its name is `fetch_slots` in a file, SHADOWSERVE_FETCH_SLOTS in the environment and
/// --fetch-slots on the command line.
struct SettingSpec {
  std::string_view name;
  SettingKind kind;
  std::string_view value_name;  ///< for --help: "URL", "PATH", "N"
  std::string_view meaning;
  uint32_t count_min = 0;  ///< kCount
  uint32_t count_max = 0;
};

/// All of them; docs/running.md describes each.
std::span<const SettingSpec> setting_specs();

/// Checked values with their origins. Later calls of set() win: call in the order default, file, environment,
/// flag. Not for threads: made once in main().
class Settings {
 public:
  /// Starts with the defaults, which depend on the user's environment (cache folder, runtime folder).
  explicit Settings(const std::map<std::string, std::string>& environment);

  /// `origin` says where the value came from, for messages: "--store", "SHADOWSERVE_STORE", "line 3 of
  /// x.toml". kConfig with a sentence (which names the nearest known setting) when name or value is wrong.
  Result<void> set(std::string_view name, std::string_view value, std::string_view origin,
                   std::string& message);
  /// Every `name = value` of a TOML file.
  Result<void> read_file(const std::string& path, std::string& message);
  /// Every SHADOWSERVE_* variable; an unknown one is an error.
  Result<void> read_environment(const std::map<std::string, std::string>& environment, std::string& message);

  /// REQUIRES a known name of the right kind.
  const std::string& text(std::string_view name) const;
  uint32_t count(std::string_view name) const;
  bool flag(std::string_view name) const;
  std::vector<int> cores(std::string_view name) const;
  const std::string& origin(std::string_view name) const;
  /// The setting fetch_slots, or what follows from the number of cores.
  uint32_t fetch_slots() const;

 private:
  struct Value {
    std::string text;
    std::string origin;
  };
  const Value& value(std::string_view name) const;
  std::map<std::string, Value, std::less<>> values_;
};

/// "1,3" or "2-5,8": ascending is not needed, twice the same core is an error. Empty text: no cores.
Result<std::vector<int>> parse_cores(std::string_view text);

}  // namespace shadowserve
