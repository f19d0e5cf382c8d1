// Starts redis-server where that is asked for, and opens backends.
#include "bench/bench_store.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "command.h"
#include "store/store_url.h"
#include "world/receive_choice.h"

namespace shadowserve {
namespace {

bool redis_is_here() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (access((folder + "/redis-server").c_str(), X_OK) == 0) return true;
  }
  return false;
}

/// The server never writes, but it wants a folder to be in. It keeps that one when its name is gone, and so
/// nothing is left behind however this process ends.
std::unique_ptr<RedisProcess> start_redis() {
  if (!redis_is_here()) {
    throw StartError(
        "there is no redis-server on this machine: install it, or use --store memory or the address of a "
        "server, --store redis://host:6379");
  }
  std::string folder = (std::filesystem::temp_directory_path() / "shadowserve-bench-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) throw StartError("cannot make a folder for redis-server: " + folder);
  auto server = std::make_unique<RedisProcess>("", std::vector<std::string>{"--dir", folder});
  rmdir(folder.c_str());
  return server;
}

}  // namespace

BenchStore::BenchStore(const std::string& choice, uint64_t bytes) : url_(choice), name_(choice) {
  if (choice == "redis") {
    server_ = start_redis();
    url_ = server_->url();
    name_ = "a redis-server of its own on loopback";
  } else if (choice == "memory") {
    url_ = fmt::format("memory:?limit={}", std::max<uint64_t>(2 * bytes, 64u << 20));
    name_ = "memory";
  } else {
    name_ = at_rate(0).describe();
  }
}

StoreBackend& BenchStore::at_rate(double gbit_per_s, const std::string& receive) {
  std::unique_ptr<StoreBackend>& backend = backends_[{gbit_per_s, receive}];
  if (backend) return *backend;
  const ReceiveChoice choice = choose_receive(receive);
  if (!choice.warning.empty()) throw StartError(choice.warning);
  std::string url = receive == kReceiveUcx ? relayed_url() : url_;
  if (gbit_per_s > 0) {
    url += fmt::format("{}rate={}", url.find('?') == std::string::npos ? '?' : '&',
                       format_bit_rate(static_cast<uint64_t>(gbit_per_s * 1e9 + 0.5)));
  }
  std::string message;
  auto opened = open_store(url, message, choice.make_stream);
  if (!opened) throw StartError(message);
  backend = std::move(*opened);
  return *backend;
}

/// The same store behind a relay of this bench's own.
std::string BenchStore::relayed_url() {
  std::string message;
  const auto url = parse_store_url(url_, message);
  if (!url || url->servers.size() != 1) {
    throw StartError("--receive ucx needs one Redis behind it: --store redis, or the address of one");
  }
  if (relay_ == nullptr) relay_ = std::make_unique<RelayProcess>(url->servers.front());
  const size_t at = url_.find('@'), slash = url_.find_first_of("/?", at == std::string::npos ? 8 : at);
  return url_.substr(0, at == std::string::npos ? 8 : at + 1) + fmt::format("127.0.0.1:{}", relay_->port()) +
         (slash == std::string::npos ? "" : url_.substr(slash));
}

std::unique_ptr<RecordStore> BenchStore::client(const Clock& clock, uint32_t depth,
                                                const std::string& receive) {
  auto client = at_rate(0, receive).client(clock, depth);
  if (!client) throw StartError("cannot open a client of " + name_);
  return std::move(*client);
}

void BenchStore::keep_server_to(const std::vector<int>& cores) const {
  if (server_) keep_to_cores(server_->pid(), cores);
  if (relay_) keep_to_cores(relay_->pid(), cores);
}

void keep_to_cores(pid_t thread, const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(static_cast<unsigned>(core), &set);
  sched_setaffinity(thread, sizeof set, &set);
}

}  // namespace shadowserve
