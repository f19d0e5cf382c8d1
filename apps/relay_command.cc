// `shadowserve relay`: lets data planes reach a store over UCX.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <memory>

#include "command.h"
#include "store/store_url.h"
#include "world/ucx/ucx_relay.h"

namespace shadowserve {
namespace {

constexpr const char* kFooter = R"(
Examples:
  shadowserve relay --listen 0.0.0.0:6390 --to redis://127.0.0.1:6379        on the store's machine
  shadowserve plane --store redis://STORE-MACHINE:6390 --receive ucx         on each engine's
  UCX_NET_DEVICES=mlx5_0:1 shadowserve relay --listen 192.0.2.7:6390 --to redis://127.0.0.1:6379

Redis does not speak UCX: each connection that a data plane makes to the relay gets one of its own to the store, and a
thread that copies bytes between them. Logins and databases stay with the data plane's --store. Stop it with Ctrl-C or SIGTERM; data
planes come back by themselves when it does.

The port given to --listen only introduces both sides; bytes flow over connections that UCX opens itself, over RDMA where
both sides have it, else over TCP between ports of its choice. What it may use is set by its own variables, the same on both sides:
UCX_NET_DEVICES, UCX_TLS, UCX_TCP_PORT_RANGE. UCX trusts its peers: keep it, as the store, in a network that you trust.)";

struct RelayFlags {
  std::string listen, to;
  uint32_t connections = 256;
};

/// Throws StartError.
StreamAddress listen_address(const std::string& text) {
  const size_t colon = text.rfind(':');
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const char* begin = colon == std::string::npos ? end : text.data() + colon + 1;
  if (const auto [rest, code] = std::from_chars(begin, end, port);
      code != std::errc() || rest != end || colon == 0) {
    throw StartError(
        fmt::format("--listen {}: give an address of this machine and a port, like 0.0.0.0:6390", text));
  }
  std::string host = text.substr(0, colon), message;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto found = resolve_stream(host, port, message);
  if (!found) throw StartError("--listen: " + message);
  return found->front();
}

/// Throws StartError.
StoreServer target(const std::string& text) {
  std::string message;
  const auto url = parse_store_url(text, message);
  if (!url) throw StartError("--to: " + message);
  const bool bare =
      url->user.empty() && url->password.empty() && url->database == 0 && url->rate_bits_per_s == 0;
  if (url->servers.size() > 1) throw StartError("--to: a relay stands beside one server; start one for each");
  if (url->scheme != StoreUrl::Scheme::kRedis || !bare) {
    throw StartError(
        "--to takes redis://host:port and nothing else: login, database and rate belong to the data plane's "
        "--store");
  }
  return url->servers.front();
}

int run_relay(const RelayFlags& flags) {
  UcxRelayOptions options;
  options.listen = listen_address(flags.listen);
  options.connections_max = flags.connections;
  const StoreServer to = target(flags.to);
  std::string message;
  auto addresses = resolve_stream(to.host, to.port, message);
  if (!addresses) throw StartError("--to: " + message);
  options.to = std::move(*addresses);
  const int stop_fd = make_stop_fd();
  signal(SIGPIPE, SIG_IGN);
  auto relay = UcxRelay::create(options, message);
  if (!relay) throw StartError(fmt::format("--listen {}: {}", flags.listen, message));
  fmt::print("shadowserve relay {}: {}, port {}, to redis://{}\n", SHADOWSERVE_VERSION, (*relay)->describe(),
             (*relay)->port(), to.name());
  fmt::print("ready; reach it with: shadowserve plane --store redis://THIS-MACHINE:{} --receive ucx\n",
             (*relay)->port());
  std::fflush(stdout);
  (*relay)->serve(stop_fd);
  const UcxRelayCounts counts = (*relay)->counts();
  fmt::print("stopping; {} connections, {} that came to nothing, {} refused; {} to the store, {} from it\n",
             counts.accepted, counts.failed, counts.refused, format_byte_size(counts.bytes_in),
             format_byte_size(counts.bytes_out));
  std::fflush(stdout);
  relay->reset();
  close(stop_fd);
  return 0;
}

}  // namespace

Command add_relay_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand("relay", "Let data planes reach a store over UCX");
  app->footer(kFooter);
  const auto flags = std::make_shared<RelayFlags>();
  app->add_option("--listen", flags->listen, "where data planes find it; port 0: a free one")
      ->type_name("HOST:PORT")
      ->required();
  app->add_option("--to", flags->to, "the store: redis://host:port")->type_name("URL")->required();
  app->add_option("--connections", flags->connections,
                  "at most so many at once; a data plane has one a core and two more")
      ->check(CLI::Range(1u, 4096u))
      ->capture_default_str();
  return {app, [flags] { return run_relay(*flags); }};
}

}  // namespace shadowserve
