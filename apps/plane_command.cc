// `shadowserve plane`: runs the data plane until it is told to stop.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "command.h"
#include "plane/plane.h"
#include "store/store_url.h"

namespace shadowserve {
namespace {

constexpr const char* kFooter = R"(
Examples:
  shadowserve plane                                            a RocksDB store in ~/.cache, cores not pinned
  shadowserve plane --store 'rocksdb:/var/lib/kv?limit=100GB' --cores 2-3
  shadowserve plane --store redis://cache:6379 --cores 1       many machines, one store
  shadowserve plane --store redis://one:6379,two:6379          a store of several servers
  shadowserve plane --store redis://cache:6379 --receive io_uring
  shadowserve plane --store redis://cache:6390 --receive ucx   6390: a relay beside the store, see shadowserve relay
  shadowserve plane --engines bluefield                        on a BlueField: its engines inflate and copy
  shadowserve plane --listen tls://0.0.0.0:7601 --tls-certificate plane.pem --tls-key plane.key --tls-ca ca.pem \
                    --window /run/shadowserve-window.sock      also for engines across a network, see shadowserve link keys
  SHADOWSERVE_CORES=1 shadowserve plane --config plane.toml

Stop it with Ctrl-C or SIGTERM. Engines go on without it: what it would have fetched is computed.)";

/// An embedded store makes its own folder but not the folders above, which may not exist on a fresh machine.
void make_store_folder(const std::string& url) {
  std::string message;
  const auto parsed = parse_store_url(url, message);
  if (!parsed) throw StartError(message);
  if (parsed->scheme == StoreUrl::Scheme::kRocksdb) std::filesystem::create_directories(parsed->path);
}

int run_plane(const Settings& settings) {
  const int stop_fd = make_stop_fd();
  // A peer that dies while it is written to is an ordinary event.
  signal(SIGPIPE, SIG_IGN);
  PlaneOptions options;
  options.store_url = settings.text("store");
  options.socket_path = settings.text("socket");
  options.listen = settings.text("listen");
  options.tls = {settings.text("tls_certificate"), settings.text("tls_key"), settings.text("tls_ca")};
  options.window_path = settings.text("window");
  options.cores = settings.cores("cores");
  options.fetch_slots = settings.fetch_slots();
  options.save_slots = settings.count("save_slots");
  options.spin_us = settings.count("spin_us");
  options.pin_memory = settings.flag("pin_memory");
  options.separate_stages = settings.flag("separate_stages");
  options.engines = settings.text("engines");
  options.receive = settings.text("receive");
  make_store_folder(options.store_url);
  std::string message;
  const auto plane = Plane::start(options, message);
  if (!plane) throw StartError(message.empty() ? std::string(error_sentence(plane.error())) : message);
  fmt::print("shadowserve plane {}: {}\n", SHADOWSERVE_VERSION, (*plane)->describe());
  fmt::print("ready; watch it with: shadowserve stats --socket {}\n", options.socket_path);
  std::fflush(stdout);
  (*plane)->serve(stop_fd);
  fmt::print("stopping\n");
  std::fflush(stdout);
  close(stop_fd);
  return 0;
}

}  // namespace

Command add_plane_command(CLI::App& root) {
  CLI::App* app = root.add_subcommand("plane", "Run the data plane");
  app->footer(kFooter);
  const auto flags = std::make_shared<SettingFlags>();
  flags->add_to(
      *app, {"store", "socket", "listen", "tls_certificate", "tls_key", "tls_ca", "window", "cores",
             "fetch_slots", "save_slots", "spin_us", "pin_memory", "separate_stages", "engines", "receive"});
  return {app, [flags] { return run_plane(flags->load()); }};
}

}  // namespace shadowserve
