// One poll() over at most a hundred descriptors: rebuilt each turn, because they change with every state.
#include "plane/network_gate.h"

#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "contract/check.h"
#include "world/stream.h"

namespace shadowserve {
namespace {

constexpr uint64_t kSleepMaxNs = 500 * kNsPerMs;
// Strangers must not fill the disk.
constexpr uint64_t kLogWindowNs = 10'000 * kNsPerMs;
constexpr uint32_t kLinesPerWindow = 20;

}  // namespace

Result<std::unique_ptr<NetworkGate>> NetworkGate::start(const GateOptions& options, std::string& message) {
  std::unique_ptr<NetworkGate> gate(new NetworkGate);
  gate->options_ = options;
  auto address = parse_plane_address(options.listen, message);
  if (!address || !address->network()) {
    if (message.empty())
      message = fmt::format("listen is \"{}\": use tls://HOST:PORT, like tls://0.0.0.0:7601", options.listen);
    return fail(Error::kConfig);
  }
  gate->listen_ = std::move(*address);
  auto identity = TlsIdentity::load(options.tls, TlsSide::kPlane, message);
  if (!identity) return fail(identity.error());
  gate->identity_ = std::move(*identity);
  if (!options.window_path.empty()) {
    if (auto listening = gate->window_.listen(options.window_path, message); !listening)
      return fail(listening.error());
  }
  const auto fd = listen_tcp(gate->listen_, message);
  if (!fd) return fail(fd.error());
  gate->listen_fd_ = *fd;
  SocketAddress bound;
  bound.size = sizeof bound.storage;
  if (getsockname(*fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) == 0) {
    gate->port_ =
        ntohs(bound.storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound.storage).sin6_port
                                                  : reinterpret_cast<sockaddr_in&>(bound.storage).sin_port);
  }
  gate->stop_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  SS_CHECK(gate->stop_fd_ >= 0, "a process may have one more descriptor at start");
  gate->thread_ = std::thread([raw = gate.get()] { raw->run(); });
  return gate;
}

NetworkGate::~NetworkGate() {
  if (thread_.joinable()) {
    stop_.store(true, std::memory_order_release);
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(stop_fd_, &one, sizeof one);
    thread_.join();
  }
  for (const int fd : {listen_fd_, stop_fd_}) {
    if (fd >= 0) close(fd);
  }
}

std::string NetworkGate::address() const { return "tls://" + host_and_port(listen_.host, port_); }

void NetworkGate::run() {
  pthread_setname_np(pthread_self(), "ss-gate");
  bool busy = false;
  while (!stop_.load(std::memory_order_acquire)) {
    const uint8_t woken = wait(busy, clock_.now_ns());
    const uint64_t now = clock_.now_ns();
    busy = false;
    if ((woken & kStranger) != 0) accept_peers(now);
    if ((woken & kWindow) != 0 || window_.waiting() > 0) window_.step();
    for (auto& peer : peers_) {
      if (!peer) continue;
      const bool was_up = peer->was_up();
      if (peer->step(now)) busy = true;
      if (peer->was_up() && !was_up) {
        counts_.attached.fetch_add(1, std::memory_order_relaxed);
        spdlog::info("{} is attached over TLS", peer->who());
      }
      if (peer->state() == NetworkPeer::State::kGone) end(peer);
    }
  }
  for (auto& peer : peers_) {
    if (!peer) continue;
    peer->leave(Error::kPlaneDown, "the data plane stops", clock_.now_ns());
    peer.reset();
  }
}

void NetworkGate::accept_peers(uint64_t now_ns) {
  for (;;) {
    const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    counts_.connections.fetch_add(1, std::memory_order_relaxed);
    const auto free = std::find(peers_.begin(), peers_.end(), nullptr);
    if (free == peers_.end()) {
      close(fd);
      counts_.turned_away.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    *free = std::make_unique<NetworkPeer>(fd, *identity_, window_, options_.socket_path, now_ns);
    counts_.peers.fetch_add(1, std::memory_order_relaxed);
  }
}

void NetworkGate::end(std::unique_ptr<NetworkPeer>& peer) {
  if (peer->was_up()) {
    spdlog::info("{} is detached: {}", peer->who(), peer->reason());
  } else if (!peer->answered()) {
    counts_.turned_away.fetch_add(1, std::memory_order_relaxed);
    if (may_log(clock_.now_ns())) spdlog::warn("{} was turned away: {}", peer->who(), peer->reason());
  }
  peer.reset();
  counts_.peers.fetch_sub(1, std::memory_order_relaxed);
}

bool NetworkGate::may_log(uint64_t now_ns) {
  if (now_ns >= log_window_ns_ + kLogWindowNs) {
    log_window_ns_ = now_ns;
    logged_ = 0;
  }
  return ++logged_ <= kLinesPerWindow;
}

uint8_t NetworkGate::wait(bool busy, uint64_t now_ns) {
  std::array<pollfd, 3 + 3 * kNetworkPeersMax> waits;
  size_t count = 0;
  waits[count++] = {stop_fd_, POLLIN, 0};
  waits[count++] = {listen_fd_, POLLIN, 0};
  waits[count++] = {window_.fd(), POLLIN, 0};
  uint64_t until = now_ns + kSleepMaxNs;
  for (const auto& peer : peers_) {
    if (!peer) continue;
    if (!peer->prepare_sleep()) busy = true;
    pollfd three[3];
    peer->waits(three);
    for (const pollfd& each : three) waits[count++] = each;
    until = std::min(until, peer->next_ns());
  }
  const uint64_t span = busy || until <= now_ns ? 0 : until - now_ns;
  const timespec timeout{0, static_cast<long>(span)};
  const int ready = ppoll(waits.data(), count, &timeout, nullptr);
  for (const auto& peer : peers_) {
    if (peer) peer->end_sleep();
  }
  if (ready <= 0) return kNobody;
  return static_cast<uint8_t>((waits[1].revents != 0 ? kStranger : 0) |
                              (waits[2].revents != 0 ? kWindow : 0));
}

}  // namespace shadowserve
