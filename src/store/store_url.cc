// Parses store addresses.
#include "store/store_url.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include "world/stream.h"

namespace shadowserve {
namespace {

constexpr size_t kServersMax = 64;
constexpr std::array<std::string_view, 3> kSchemes = {"rocksdb", "redis", "memory"};

Failure wrong(std::string& message, std::string text) {
  message = std::move(text);
  return fail(Error::kConfig);
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

std::string suggestion(std::string_view name, std::span<const std::string_view> candidates) {
  const std::string_view near = nearest_name(name, candidates);
  if (!near.empty()) return fmt::format("did you mean \"{}\"?", near);
  return fmt::format("known: {}", fmt::join(candidates, ", "));
}

/// False when a % is not followed by two hexadecimal digits.
bool percent_decode(std::string_view text, std::string& out) {
  out.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) return false;
    const auto [end, code] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
    if (code != std::errc() || end != text.data() + i + 3) return false;
    out.push_back(static_cast<char>(value));
    i += 2;
  }
  return true;
}

template <typename Number>
bool parse_number(std::string_view text, Number& out) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
  return code == std::errc() && end == text.data() + text.size();
}

constexpr std::array<std::string_view, 2> kRateUnits = {"gbit", "mbit"};

/// What parse_bit_rate() refused: a unit that looks like a known one, or anything else.
std::string wrong_rate(std::string_view value) {
  const std::string_view unit = value.substr(std::min(value.size(), value.find_first_not_of("0123456789.")));
  const std::string_view near = unit.empty() ? unit : nearest_name(unit, kRateUnits);
  if (!near.empty() && lowered(unit) != near) {
    return fmt::format("rate={} has unknown unit \"{}\"; did you mean \"{}\"?", value, unit, near);
  }
  return fmt::format("rate={} is no rate from 1mbit to 10000gbit; write for example rate=10gbit", value);
}

Result<void> parse_parameters(std::string_view query, std::span<const std::string_view> known, StoreUrl& out,
                              std::string& message) {
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), item.size() + 1));
    if (item.empty()) continue;
    const std::string_view name = item.substr(0, item.find('='));
    const std::string_view value = name.size() < item.size() ? item.substr(name.size() + 1) : "";
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return wrong(message, fmt::format("the store address has unknown parameter \"{}\"; {}", name,
                                        suggestion(name, known)));
    }
    if (name == "limit") {
      const Result<uint64_t> bytes = parse_byte_size(value);
      if (!bytes) {
        return wrong(message, fmt::format("limit={} is no size; write for example limit=20GB", value));
      }
      out.limit_bytes = *bytes;
    } else if (name == "rate") {
      const Result<uint64_t> rate = parse_bit_rate(value);
      if (!rate) return wrong(message, wrong_rate(value));
      out.rate_bits_per_s = *rate;
    } else {
      static constexpr std::array<std::string_view, 2> kPolicies = {"lru", "fifo"};
      if (value != "lru" && value != "fifo") {
        return wrong(message, fmt::format("evict={} is unknown; {}", value, suggestion(value, kPolicies)));
      }
      out.evict_fifo = value == "fifo";
    }
  }
  return {};
}

/// host[:port]
Result<StoreServer> parse_server(std::string_view host, std::string& message) {
  StoreServer out;
  std::string_view port;
  if (!host.empty() && host.front() == '[') {  // [IPv6]:port
    const size_t close = host.find(']');
    if (close == std::string_view::npos) return wrong(message, "the store address has an unclosed [");
    port = host.substr(close + 1);
    host = host.substr(1, close - 1);
    if (!port.empty() && port.front() != ':') {
      return wrong(message, "the store address has something behind ] that is no port");
    }
    if (!port.empty()) port.remove_prefix(1);
  } else if (const size_t colon = host.find(':'); colon != std::string_view::npos) {
    port = host.substr(colon + 1);
    host = host.substr(0, colon);
  }
  if (host.empty()) {
    return wrong(message,
                 "the store address lacks a host; write redis://host:6379, or several: "
                 "redis://host1:6379,host2:6379");
  }
  if (!port.empty() && (!parse_number(port, out.port) || out.port == 0)) {
    return wrong(message, fmt::format("\"{}\" in the store address is no port", port));
  }
  if (!percent_decode(host, out.host)) return wrong(message, "the host has a bad %-escape");
  return out;
}

/// server[,server]...
Result<void> parse_servers(std::string_view text, StoreUrl& out, std::string& message) {
  for (;;) {
    const std::string_view item = text.substr(0, text.find(','));
    auto server = parse_server(item, message);
    if (!server) return fail(server.error());
    for (const StoreServer& other : out.servers) {
      if (other.name() == server->name()) {
        return wrong(message, fmt::format("the store address names {} twice", server->name()));
      }
    }
    out.servers.push_back(std::move(*server));
    if (out.servers.size() > kServersMax) {
      return wrong(message, fmt::format("the store address names more than {} servers", kServersMax));
    }
    if (item.size() == text.size()) return {};
    text.remove_prefix(item.size() + 1);
  }
}

/// [user[:password]@]server[,server]...[/database]
Result<void> parse_authority(std::string_view rest, StoreUrl& out, std::string& message) {
  const std::string_view authority = rest.substr(0, rest.find('/'));
  std::string_view database = rest.substr(std::min(rest.size(), authority.size() + 1));
  std::string_view servers = authority;
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    const std::string_view login = authority.substr(0, at);
    servers = authority.substr(at + 1);
    if (login.find('@') != std::string_view::npos) {
      return wrong(message,
                   "the store address has more than one @; write %40 for one in a password, and the login "
                   "once, before the first server");
    }
    const size_t colon = login.find(':');
    // "redis://secret@host" is not a password to anybody but its author: refuse to guess.
    if (colon == std::string_view::npos) {
      return wrong(message,
                   "the store address has a user but no password; write redis://:password@host or "
                   "redis://user:password@host");
    }
    if (!percent_decode(login.substr(0, colon), out.user) ||
        !percent_decode(login.substr(colon + 1), out.password)) {
      return wrong(message, "user or password of the store address has a bad %-escape; write %25 for %");
    }
  }
  if (const auto ok = parse_servers(servers, out, message); !ok) return ok;
  if (!database.empty() && !parse_number(database, out.database)) {
    return wrong(message, fmt::format("\"{}\" in the store address is no database number", database));
  }
  return {};
}

}  // namespace

std::string StoreServer::name() const { return host_and_port(host, port); }

Result<StoreUrl> parse_store_url(std::string_view url, std::string& message) {
  StoreUrl out;
  const size_t colon = url.find(':');
  const std::string scheme = lowered(url.substr(0, colon));
  if (colon == std::string_view::npos) {
    return wrong(message, fmt::format("the store address \"{}\" has no scheme; write rocksdb:/path, "
                                      "redis://host:6379 or memory:",
                                      url));
  }
  std::string_view rest = url.substr(colon + 1);
  const size_t question = rest.find('?');
  const std::string_view query = question == std::string_view::npos ? "" : rest.substr(question + 1);
  rest = rest.substr(0, question);
  Result<void> ok;
  if (scheme == "memory") {
    out.scheme = StoreUrl::Scheme::kMemory;
    static constexpr std::array<std::string_view, 1> kKnown = {"limit"};
    if (!rest.empty()) return wrong(message, fmt::format("memory: takes no path, but \"{}\" is there", rest));
    ok = parse_parameters(query, kKnown, out, message);
  } else if (scheme == "rocksdb") {
    out.scheme = StoreUrl::Scheme::kRocksdb;
    static constexpr std::array<std::string_view, 2> kKnown = {"limit", "evict"};
    if (rest.starts_with("//")) rest.remove_prefix(2);
    if (!percent_decode(rest, out.path)) return wrong(message, "the path has a bad %-escape");
    if (out.path.empty()) return wrong(message, "the store address has no path; write rocksdb:/path");
    ok = parse_parameters(query, kKnown, out, message);
  } else if (scheme == "redis") {
    out.scheme = StoreUrl::Scheme::kRedis;
    if (!rest.starts_with("//")) return wrong(message, "a Redis store is written redis://host:6379");
    static constexpr std::array<std::string_view, 1> kKnown = {"rate"};
    ok = parse_parameters(query, kKnown, out, message);
    if (ok) ok = parse_authority(rest.substr(2), out, message);
  } else if (scheme == "rediss") {
    return wrong(message,
                 "rediss:// (TLS) is not supported yet; use redis:// on a trusted network or through "
                 "a tunnel");
  } else {
    return wrong(message, fmt::format("the store address has unknown scheme \"{}\"; {}", scheme,
                                      suggestion(scheme, kSchemes)));
  }
  if (!ok) return fail(ok.error());
  return out;
}

Result<uint64_t> parse_byte_size(std::string_view text) {
  const size_t digits = std::min(text.size(), text.find_first_not_of("0123456789"));
  uint64_t number = 0;
  if (!parse_number(text.substr(0, digits), number)) return fail(Error::kConfig);
  const std::string unit = lowered(text.substr(digits));
  static constexpr std::string_view kPrefixes = "kmgtp";
  uint64_t factor = 1;
  if (!unit.empty() && unit != "b") {
    const size_t power = kPrefixes.find(unit[0]);
    if (power == std::string_view::npos) return fail(Error::kConfig);
    const std::string_view tail = std::string_view(unit).substr(1);
    if (tail != "" && tail != "b" && tail != "ib" && tail != "i") return fail(Error::kConfig);
    for (size_t i = 0; i <= power; ++i) factor *= tail.starts_with('i') ? 1024u : 1000u;
  }
  if (number == 0 || number > UINT64_MAX / factor) return fail(Error::kConfig);
  return number * factor;
}

Result<uint64_t> parse_bit_rate(std::string_view text) {
  constexpr double kMost = 1e13, kLeast = 1e6;
  const size_t digits = std::min(text.size(), text.find_first_not_of("0123456789."));
  double number = 0;
  if (!parse_number(text.substr(0, digits), number)) return fail(Error::kConfig);
  const std::string unit = lowered(text.substr(digits));
  if (std::find(kRateUnits.begin(), kRateUnits.end(), unit) == kRateUnits.end()) return fail(Error::kConfig);
  number *= unit == "gbit" ? 1e9 : 1e6;
  if (number < kLeast || number > kMost) return fail(Error::kConfig);
  return static_cast<uint64_t>(std::llround(number));
}

std::string format_bit_rate(uint64_t bits_per_s) {
  const bool large = bits_per_s >= 1'000'000'000;
  return fmt::format("{}{}bit", static_cast<double>(bits_per_s) / (large ? 1e9 : 1e6), large ? 'g' : 'm');
}

std::string format_byte_size(uint64_t bytes) {
  static constexpr std::array<std::string_view, 6> kUnits = {"B", "KB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) value /= 1000, ++unit;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates) {
  std::string_view best;
  size_t best_distance = SIZE_MAX;
  for (const std::string_view candidate : candidates) {
    // Levenshtein distance, one row at a time.
    std::vector<size_t> row(candidate.size() + 1);
    for (size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= name.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j < row.size(); ++j) {
        const size_t replaced = diagonal + (lower(name[i - 1]) == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
      }
    }
    if (row.back() < best_distance) best_distance = row.back(), best = candidate;
  }
  return best_distance <= std::max<size_t>(1, best.size() / 2) ? best : std::string_view();
}

}  // namespace shadowserve
