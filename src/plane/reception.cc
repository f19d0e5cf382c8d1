// The event loop of the plane's main thread.
#include "plane/reception.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "wire/sealed_bytes.h"
#include "wire/unix_socket.h"
#include "world/clock.h"

namespace shadowserve {
namespace {

constexpr uint64_t kLinkTag = 1'000'001;
constexpr uint64_t kStatsTag = 1'000'002;
constexpr uint64_t kStopTag = 1'000'003;
constexpr uint64_t kDeskTag = 1'000'004;  // only wakes: the desk has a step in every turn
constexpr uint64_t kHelloTimeoutNs = 2'000 * kNsPerMs;

uint64_t now_ns() { return MonotonicClock().now_ns(); }

bool sends_staging(const LinkHello& hello) {
  return hello.staging_kind == StagingKind::kHost && hello.staging_bytes > 0;
}

}  // namespace

Reception::Reception(std::span<Session> sessions, Doorbell& plane_doorbell,
                     std::function<std::string()> stats, PrepareDevice prepare_device, CalibrationDesk& desk,
                     HardwareCare* care)
    : sessions_(sessions),
      plane_doorbell_(plane_doorbell),
      stats_(std::move(stats)),
      prepare_device_(std::move(prepare_device)),
      desk_(desk),
      care_(care),
      epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {}

Reception::~Reception() {
  for (Peer& peer : peers_) {
    if (peer.fd >= 0) close(peer.fd);
  }
  for (const int fd : {link_fd_, stats_fd_, epoll_fd_}) {
    if (fd >= 0) close(fd);
  }
  if (link_fd_ >= 0) unlink(socket_path_.c_str());
  if (stats_fd_ >= 0) unlink((socket_path_ + ".stats").c_str());
}

void Reception::watch(int fd, uint64_t tag) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.u64 = tag;
  epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event);
}

Result<void> Reception::listen(const std::string& socket_path, std::string& message) {
  socket_path_ = socket_path;
  const auto link = listen_unix(socket_path, SOCK_SEQPACKET, message);
  if (!link) return fail(link.error());
  link_fd_ = *link;
  const auto stats = listen_unix(socket_path + ".stats", SOCK_STREAM, message);
  if (!stats) return fail(stats.error());
  stats_fd_ = *stats;
  watch(link_fd_, kLinkTag);
  watch(stats_fd_, kStatsTag);
  return {};
}

void Reception::serve(int stop_fd) {
  watch(stop_fd, kStopTag);
  if (desk_.wake_fd() >= 0) watch(desk_.wake_fd(), kDeskTag);
  for (;;) {
    const bool ill = care_ != nullptr && care_->tend(now_ns());
    const bool soon = close_drained() | desk_.step() | ill;
    epoll_event events[16];
    const int count = epoll_wait(epoll_fd_, events, 16, soon ? 5 : 500);
    for (int i = 0; i < count; ++i) {
      const uint64_t tag = events[i].data.u64;
      if (tag == kStopTag) return;
      if (tag == kLinkTag) {
        accept_peer();
      } else if (tag == kStatsTag) {
        serve_stats();
      } else if (tag < peers_.size() && peers_[tag].fd >= 0) {
        hear(peers_[tag]);
      }
    }
    for (Peer& peer : peers_) {
      const bool silent = peer.fd >= 0 && peer.session == nullptr && now_ns() > peer.hello_by_ns;
      // The plane's threads give up on a peer whose reply ring overflows: show it the door.
      const bool given_up = peer.session != nullptr && peer.session->state() != Session::kActive;
      if (silent || given_up) part(peer);
    }
  }
}

void Reception::accept_peer() {
  const int fd = accept4(link_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  if (!peer_may_attach(fd)) {
    spdlog::warn("refused a process of another user");
    close(fd);
    return;
  }
  for (size_t i = 0; i < peers_.size(); ++i) {
    if (peers_[i].fd >= 0) continue;
    peers_[i] = {fd, nullptr, now_ns() + kHelloTimeoutNs};
    watch(fd, i);
    return;
  }
  close(fd);
}

void Reception::hear(Peer& peer) {
  union {
    uint32_t magic;
    LinkHello hello;
    CalibrationCall call;
  } first{};
  ReceivedFds fds;
  const ssize_t got = receive_with_fds(peer.fd, &first, sizeof(first), fds);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  // After the hello nothing is ever sent: whatever arrives on an attached link ends it, silence is the rule.
  if (got <= 0 || peer.session != nullptr) return part(peer);
  if (got == sizeof(CalibrationCall) && first.magic == kCalibrationCallMagic) {
    const int fd = std::exchange(peer, {}).fd;
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
    return desk_.take(fd, first.call, fds);
  }
  hear_hello(peer, first.hello, static_cast<size_t>(got), fds);
}

void Reception::hear_hello(Peer& peer, const LinkHello& hello, size_t bytes, ReceivedFds& fds) {
  if (bytes != sizeof(hello) || hello.magic != kLinkMagic || hello.version != kLinkVersion) {
    return refuse(peer, Error::kConfig, fmt::format("this data plane speaks link version {}", kLinkVersion));
  }
  if (fds.count() != size_t{sends_staging(hello)} + (hello.calibration_bytes > 0 ? 1 : 0)) {
    return refuse(peer, Error::kConfig, "the greeting has other descriptors than it says");
  }
  greet(peer, hello, fds);
}

void Reception::refuse(Peer& peer, Error error, std::string_view sentence) {
  LinkWelcome refusal;
  refusal.error = static_cast<uint8_t>(error);
  std::memcpy(refusal.text, sentence.data(), std::min(sentence.size(), sizeof(refusal.text) - 1));
  send(peer.fd, &refusal, sizeof(refusal), MSG_NOSIGNAL);
  spdlog::warn("refused an engine: {}", sentence);
  part(peer);
}

Result<void> Reception::attach(Session& session, const LinkHello& hello, ReceivedFds& fds,
                               std::string& message) {
  const size_t staging_fds = sends_staging(hello) ? 1 : 0;
  std::shared_ptr<const CalibratedModel> model;
  if (hello.calibration_bytes > 0) {
    auto read = read_model(hello, fds.take(staging_fds), message);
    if (!read) return fail(read.error());
    model = std::move(*read);
  }
  if (hello.staging_kind == StagingKind::kDevice) {
    if (auto ready = prepare_device_(hello.device_staging.device, message); !ready) return ready;
  }
  const auto opened =
      session.open(hello, staging_fds > 0 ? fds.take(0) : -1, kLinkRingEntries, message, std::move(model));
  // Its first parts may come before this: this core copies them.
  if (opened && care_ != nullptr && !session.host_staging().empty()) {
    care_->staging_opened(static_cast<size_t>(&session - sessions_.data()), session.host_staging());
  }
  return opened;
}

// Copied before it is looked at, though it is sealed: what was checked is what is used.
Result<std::shared_ptr<const CalibratedModel>> Reception::read_model(const LinkHello& hello, int fd,
                                                                     std::string& message) {
  const auto sealed = SealedBytes::adopt(fd, hello.calibration_bytes);
  const bool fits = sealed && hello.calibration_bytes <= kLinkCalibrationBytesMax;
  const auto file = fits ? sealed->read() : fail(Error::kConfig);
  if (!file) {
    message = "the calibration must be a memfd of the announced size, 2 MiB at most, sealed against changes";
    return fail(file.error());
  }
  const std::string_view profile(hello.profile, strnlen(hello.profile, sizeof(hello.profile)));
  return models_.open(*file, profile, hello.geometry.geometry(), message);
}

void Reception::greet(Peer& peer, const LinkHello& hello, ReceivedFds& received) {
  std::string message = fmt::format(
      "all {} sessions of this data plane are taken (an engine needs one for its scheduler and one for each "
      "rank): start another data plane for the others",
      sessions_.size());
  Session* session = nullptr;
  for (Session& row : sessions_) {
    if (row.state() == Session::kFree) session = &row;
  }
  Result<void> opened = fail(Error::kNoCapacity);
  if (session != nullptr) opened = attach(*session, hello, received, message);
  if (!opened) return refuse(peer, opened.error(), message);
  LinkWelcome welcome;
  peer.session = session;
  welcome.ring_entries = session->ring_entries();
  welcome.session = static_cast<uint32_t>(session - sessions_.data());
  welcome.replies_offset = session->replies_offset();
  const int fds[3] = {session->rings().fd(), plane_doorbell_.fd(), session->client_doorbell()};
  if (!send_with_fds(peer.fd, &welcome, sizeof(welcome), fds)) {
    part(peer);
    return;
  }
  // A loop that was asleep announced that to the sessions it knew: let it look at the new one.
  plane_doorbell_.ring();
  spdlog::info("attached {} ({} layers x {} heads x {}, {} tokens a chunk, profile {}{})",
               session->client_name(), hello.geometry.layers, hello.geometry.kv_heads,
               hello.geometry.head_dim, hello.geometry.chunk_tokens, session->profile().name(),
               session->device() < 0 ? "" : fmt::format(", GPU {}", session->device()));
}

void Reception::part(Peer& peer) {
  close(peer.fd);
  if (peer.session != nullptr) {
    spdlog::info("detached {}", peer.session->client_name());
    peer.session->leave();
    plane_doorbell_.ring();
  }
  peer = {};
}

bool Reception::close_drained() {
  bool draining = false;
  for (Session& session : sessions_) {
    if (session.state() == Session::kDraining) draining = true;
    if (session.state() != Session::kDrained) continue;
    if (care_ != nullptr) care_->staging_closing(static_cast<size_t>(&session - sessions_.data()));
    session.close();
  }
  return draining;
}

void Reception::serve_stats() {
  const int fd = accept4(stats_fd_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  const timeval timeout{0, 200'000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  const std::string document = stats_();
  size_t sent = 0;
  while (sent < document.size()) {
    const ssize_t wrote = send(fd, document.data() + sent, document.size() - sent, MSG_NOSIGNAL);
    if (wrote <= 0) break;
    sent += static_cast<size_t>(wrote);
  }
  close(fd);
}

}  // namespace shadowserve
