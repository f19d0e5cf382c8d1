// The table of settings, checks of their values, and typed access.
#include "settings/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "contract/check.h"
#include "store/store_url.h"
#include "wire/socket_path.h"
#include "world/receive_choice.h"

namespace shadowserve {
namespace {

constexpr uint32_t kCoreMax = 1023;

constexpr std::array kSpecs = {
    SettingSpec{
        "store", SettingKind::kText, "URL",
        "where records live: rocksdb:/folder?limit=20GB&evict=lru, redis://[user:pass@]host:port[/db], "
        "memory:?limit=1GB"},
    SettingSpec{"socket", SettingKind::kText, "PATH",
                "Unix socket on which engines find the data plane; PATH.stats serves the statistics"},
    SettingSpec{"listen", SettingKind::kText, "ADDRESS",
                "tls://HOST:PORT on which engines on another machine find the data plane, besides the "
                "socket; default: none"},
    SettingSpec{"tls_certificate", SettingKind::kText, "FILE", "this side's certificate, for tls:// (PEM)"},
    SettingSpec{"tls_key", SettingKind::kText, "FILE", "its private key (PEM)"},
    SettingSpec{"tls_ca", SettingKind::kText, "FILE", "the CA that signed it and whoever may connect (PEM)"},
    SettingSpec{"tls_name", SettingKind::kText, "NAME",
                "what the data plane's certificate has to name, for whoever connects; default: the host of "
                "the address"},
    SettingSpec{
        "window", SettingKind::kText, "PATH",
        "Unix socket on which engines of tls:// hand over the handle of their staging memory; default: none"},
    SettingSpec{"cores", SettingKind::kCores, "LIST",
                "cores set aside for the data plane, e.g. 1 or 2-3; default: not pinned"},
    SettingSpec{"fetch_slots", SettingKind::kCount, "N",
                "records in flight from the store to engines, about 6 MiB of memory each; 0: eight for each "
                "core, 16 at "
                "least",
                0, 256},
    SettingSpec{"save_slots", SettingKind::kCount, "N", "records in flight from engines to the store", 1,
                256},
    SettingSpec{"spin_us", SettingKind::kCount, "US",
                "how long an idle thread looks for work before it sleeps, in microseconds", 0, 1'000'000},
    SettingSpec{"pin_memory", SettingKind::kSwitch, "BOOL",
                "lock slots into memory as far as the memory lock limit allows: true or false"},
    SettingSpec{
        "separate_stages", SettingKind::kSwitch, "BOOL",
        "decompress, dequantize and deliver one after the other instead of in one pass: true or false"},
    SettingSpec{"engines", SettingKind::kEngines, "WHO",
                "who inflates and copies: host (this core), bluefield (the first one found) or "
                "bluefield@PCI-ADDRESS"},
    SettingSpec{
        "receive", SettingKind::kReceive, "HOW",
        "how bytes of a store across the network are received: sockets, io_uring (fewer calls into the "
        "kernel; sockets where it is refused) or ucx (from a relay beside the store: shadowserve relay)"},
};

const SettingSpec* find_spec(std::string_view name) {
  const auto found =
      std::find_if(kSpecs.begin(), kSpecs.end(), [&](const SettingSpec& spec) { return spec.name == name; });
  return found == kSpecs.end() ? nullptr : &*found;
}

bool parse_count(std::string_view text, uint32_t& out) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
  return code == std::errc() && end == text.data() + text.size();
}

std::string default_store(const std::map<std::string, std::string>& environment) {
  const auto set = [&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
  };
  std::string folder = set("XDG_CACHE_HOME");
  if (folder.empty()) folder = set("HOME").empty() ? "/var/tmp" : set("HOME") + "/.cache";
  return "rocksdb:" + folder + "/shadowserve?limit=20GB";
}

/// What is wrong with the value, as the end of a sentence; empty when nothing is.
std::string complaint(const SettingSpec& spec, std::string_view value) {
  switch (spec.kind) {
    case SettingKind::kText:
      return value.empty() ? "must not be empty" : "";
    case SettingKind::kSwitch:
      return value == "true" || value == "false" ? "" : "must be true or false";
    case SettingKind::kEngines: {
      const bool named = value == "host" || value == "bluefield";
      const bool placed = value.starts_with("bluefield@") && value.size() > std::strlen("bluefield@");
      return named || placed ? ""
                             : "must be host, bluefield or bluefield@PCI-ADDRESS (bluefield@0000:03:00.0)";
    }
    case SettingKind::kReceive:
      return std::count(kReceiveNames.begin(), kReceiveNames.end(), value) == 1
                 ? ""
                 : "must be sockets, io_uring or ucx";
    case SettingKind::kCores:
      return parse_cores(value)
                 ? ""
                 : fmt::format("must list cores once each, like 1 or 2-3,5 (0 to {})", kCoreMax);
    case SettingKind::kCount: {
      uint32_t count = 0;
      const bool fits = parse_count(value, count) && count >= spec.count_min && count <= spec.count_max;
      return fits ? "" : fmt::format("must be a whole number from {} to {}", spec.count_min, spec.count_max);
    }
  }
  return "";
}

}  // namespace

std::span<const SettingSpec> setting_specs() { return kSpecs; }

Settings::Settings(const std::map<std::string, std::string>& environment) {
  values_["store"] = {default_store(environment), "default"};
  values_["socket"] = {default_socket_path(), "default"};
  for (const char* optional :
       {"listen", "tls_certificate", "tls_key", "tls_ca", "tls_name", "window", "cores"}) {
    values_[optional] = {"", "default"};
  }
  values_["fetch_slots"] = {"0", "default"};
  values_["save_slots"] = {"6", "default"};
  values_["spin_us"] = {"30", "default"};
  values_["pin_memory"] = {"true", "default"};
  values_["separate_stages"] = {"false", "default"};
  values_["engines"] = {"host", "default"};
  values_["receive"] = {std::string(kReceiveSockets), "default"};
  SS_CHECK(values_.size() == kSpecs.size(), "every setting has a default");
}

Result<void> Settings::set(std::string_view name, std::string_view value, std::string_view origin,
                           std::string& message) {
  const SettingSpec* spec = find_spec(name);
  if (spec == nullptr) {
    std::array<std::string_view, kSpecs.size()> names;
    std::transform(kSpecs.begin(), kSpecs.end(), names.begin(), [](const SettingSpec& s) { return s.name; });
    const std::string_view near = nearest_name(name, names);
    message = fmt::format("{}: there is no setting \"{}\"; {}", origin, name,
                          near.empty() ? fmt::format("known are {}", fmt::join(names, ", "))
                                       : fmt::format("did you mean \"{}\"?", near));
    return fail(Error::kConfig);
  }
  if (const std::string wrong = complaint(*spec, value); !wrong.empty()) {
    message = fmt::format("{}: {} {}, not \"{}\"", origin, name, wrong, value);
    return fail(Error::kConfig);
  }
  values_[std::string(name)] = {std::string(value), std::string(origin)};
  return {};
}

const Settings::Value& Settings::value(std::string_view name) const {
  const auto found = values_.find(name);
  SS_CHECK(found != values_.end(), "the name is in the table of settings");
  return found->second;
}

const std::string& Settings::text(std::string_view name) const { return value(name).text; }

uint32_t Settings::count(std::string_view name) const {
  uint32_t count = 0;
  SS_CHECK(parse_count(value(name).text, count), "set() checked the value");
  return count;
}

// Enough that every lane has records on the way while it unpacks one: with two or three of them each, six
// lanes of one machine delivered a third less.
uint32_t Settings::fetch_slots() const {
  constexpr uint32_t kSlotsMin = 16, kSlotsMax = 256, kSlotsPerCore = 8;
  const uint32_t chosen = count("fetch_slots");
  const auto cores_given = static_cast<uint32_t>(cores("cores").size());
  return chosen != 0 ? chosen : std::clamp(cores_given * kSlotsPerCore, kSlotsMin, kSlotsMax);
}

bool Settings::flag(std::string_view name) const { return value(name).text == "true"; }

std::vector<int> Settings::cores(std::string_view name) const {
  auto cores = parse_cores(value(name).text);
  SS_CHECK(cores.has_value(), "set() checked the value");
  return *std::move(cores);
}

const std::string& Settings::origin(std::string_view name) const { return value(name).origin; }

Result<std::vector<int>> parse_cores(std::string_view text) {
  std::vector<int> cores;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const size_t dash = item.find('-');
    uint32_t first = 0, last = 0;
    if (!parse_count(item.substr(0, dash), first)) return fail(Error::kConfig);
    last = first;
    if (dash != std::string_view::npos && !parse_count(item.substr(dash + 1), last))
      return fail(Error::kConfig);
    if (last < first || last > kCoreMax) return fail(Error::kConfig);
    for (uint32_t core = first; core <= last; ++core) {
      if (std::find(cores.begin(), cores.end(), static_cast<int>(core)) != cores.end())
        return fail(Error::kConfig);
      cores.push_back(static_cast<int>(core));
    }
  }
  return cores;
}

}  // namespace shadowserve
