// Settings from outside: the TOML file and the environment.
#include <fmt/format.h>
// Without exceptions the parser returns its errors, as everything below apps does.
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include <algorithm>
#include <array>

#include "settings/settings.h"
#include "store/store_url.h"

namespace shadowserve {
namespace {

constexpr std::string_view kPrefix = "SHADOWSERVE_";
/// Read by others than Settings: where the file is, and how much the engine's side logs.
constexpr std::array<std::string_view, 2> kOtherVariables = {"SHADOWSERVE_CONFIG", "SHADOWSERVE_LOG"};

/// A TOML value in the notation of a flag; empty optional for tables, dates and the like.
std::optional<std::string> as_flag(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto number = node.value_exact<int64_t>()) return std::to_string(*number);
  if (const auto truth = node.value_exact<bool>()) return *truth ? "true" : "false";
  if (const toml::array* array = node.as_array()) {
    std::string list;
    for (const toml::node& item : *array) {
      const auto number = item.value_exact<int64_t>();
      if (!number) return std::nullopt;
      list += (list.empty() ? "" : ",") + std::to_string(*number);
    }
    return list;
  }
  return std::nullopt;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

Result<void> Settings::read_file(const std::string& path, std::string& message) {
  const toml::parse_result parsed = toml::parse_file(path);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    message = error.source().begin.line == 0
                  ? fmt::format("{}: {}", path, error.description())
                  : fmt::format("line {} of {}: {}", error.source().begin.line, path, error.description());
    return fail(Error::kConfig);
  }
  for (const auto& [key, node] : parsed.table()) {
    const std::string origin = fmt::format("line {} of {}", key.source().begin.line, path);
    const auto value = as_flag(node);
    // An unknown table is reported as an unknown name, which says more than its type.
    if (const auto done = set(key.str(), value.value_or("(a table or date)"), origin, message); !done)
      return done;
  }
  return {};
}

Result<void> Settings::read_environment(const std::map<std::string, std::string>& environment,
                                        std::string& message) {
  for (const auto& [variable, value] : environment) {
    if (!variable.starts_with(kPrefix)) continue;
    if (std::find(kOtherVariables.begin(), kOtherVariables.end(), variable) != kOtherVariables.end())
      continue;
    const std::string name = lower(variable.substr(kPrefix.size()));
    if (const auto done = set(name, value, variable, message); !done) return done;
  }
  return {};
}

}  // namespace shadowserve
