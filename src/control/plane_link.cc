// Handshake and life of a link.
#include "control/plane_link.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "contract/check.h"
#include "control/link_log.h"
#include "wire/unix_socket.h"

namespace shadowserve {
namespace {

// How often an otherwise busy thread looks at the socket; a sleeping one is woken by it.
constexpr uint64_t kLookEveryNs = kNsPerMs;
constexpr uint32_t kRingEntriesMax = 1u << 16;
// One line per state change, but a plane that flaps must not flood the engine's log.
constexpr uint64_t kQuietNs = 10'000 * kNsPerMs;

void close_fd(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

}  // namespace

PlaneLink::PlaneLink(std::string socket_path, const LinkHello& hello, const Clock& clock, int device,
                     std::shared_ptr<const CalibrationFile> calibration)
    : socket_path_(std::move(socket_path)),
      hello_(hello),
      device_(device),
      calibration_(std::move(calibration)),
      clock_(clock),
      down_since_ns_(clock.now_ns()) {
  SS_CHECK(hello_.calibration_bytes == 0 || calibration_ != nullptr, "what the hello announces is there");
}

PlaneLink::~PlaneLink() { close_all(); }

PlaneLink::Change PlaneLink::step() {
  const uint64_t now = clock_.now_ns();
  switch (state_) {
    case State::kDown:
      if (now < retry_at_ns_) return Change::kNone;
      if (!connect_and_greet()) retry_later();
      return Change::kNone;
    case State::kGreeting:
      return read_welcome();
    case State::kUp: {
      if (now < look_at_ns_) return Change::kNone;
      look_at_ns_ = now + kLookEveryNs;
      char byte;
      const ssize_t got = recv(socket_, &byte, 1, MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return Change::kNone;
      drop(got == 0 ? "it closed the connection" : "it broke the link protocol");
      return Change::kWentDown;
    }
  }
  return Change::kNone;
}

bool PlaneLink::connect_and_greet() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  SS_CHECK(socket_path_.size() < sizeof address.sun_path, "the options were checked");
  std::memcpy(address.sun_path, socket_path_.data(), socket_path_.size());
  socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket_ < 0) {
    say_down(std::strerror(errno));
    return false;
  }
  if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    say_down(std::strerror(errno));
    return false;
  }
  // Only now: an absent plane costs no memory.
  if (hello_.staging_bytes > 0 && !take_staging()) {
    say_down("no memory for the staging region");
    return false;
  }
  if (!send_hello()) {
    say_down("it did not take the greeting");
    return false;
  }
  state_ = State::kGreeting;
  welcome_by_ns_ = clock_.now_ns() + kWelcomeTimeoutNs;
  return true;
}

bool PlaneLink::take_staging() {
  if (device_ < 0) {
    auto staging = SharedRegion::create("shadowserve-staging", hello_.staging_bytes);
    if (staging) staging_ = std::move(*staging);
    return staging.has_value();
  }
  auto staging = DeviceMemory::allocate(device_, hello_.staging_bytes);
  if (!staging) return false;
  const auto handle = staging->handle();
  if (!handle) return false;
  hello_.device_staging = *handle;
  device_staging_ = std::move(*staging);
  return true;
}

bool PlaneLink::send_hello() {
  std::array<int, 2> fds;
  size_t count = 0;
  if (staging_) fds[count++] = staging_.fd();
  if (hello_.calibration_bytes > 0) fds[count++] = calibration_->bytes.fd();
  return send_with_fds(socket_, &hello_, sizeof hello_, std::span(fds).first(count));
}

PlaneLink::Change PlaneLink::read_welcome() {
  LinkWelcome welcome;
  iovec part{&welcome, sizeof welcome};
  alignas(cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(socket_, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    if (clock_.now_ns() >= welcome_by_ns_) drop("it does not answer the greeting");
    return Change::kNone;
  }
  int fds[3] = {-1, -1, -1};
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = std::min<size_t>(3, (header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(fds, CMSG_DATA(header), count * sizeof(int));
  }
  const bool adopted = got == static_cast<ssize_t>(sizeof welcome) && adopt(welcome, fds);
  for (int& fd : fds) close_fd(fd);
  if (adopted) {
    say_up(welcome.session);
    return Change::kCameUp;
  }
  if (got == static_cast<ssize_t>(sizeof welcome) && welcome.magic == kLinkMagic && welcome.error != 0) {
    welcome.text[sizeof welcome.text - 1] = '\0';
    const std::string reason = std::string("it refused this engine: ") + welcome.text;
    backoff_ns_ = kBackoffMaxNs;  // it will hardly change its mind soon
    drop(reason.c_str());
  } else {
    drop(got == 0 ? "it closed the connection" : "it is of another version or not a data plane");
  }
  return Change::kNone;  // it was never up
}

bool PlaneLink::adopt(const LinkWelcome& welcome, int (&fds)[3]) {
  const uint32_t entries = welcome.ring_entries;
  const bool sane =
      welcome.magic == kLinkMagic && welcome.version == kLinkVersion && welcome.error == 0 && entries >= 2 &&
      entries <= kRingEntriesMax && (entries & (entries - 1)) == 0 && welcome.replies_offset % 64 == 0 &&
      welcome.replies_offset >= RequestRing::bytes(entries) &&
      welcome.replies_offset <= (uint64_t{1} << 30) && fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0;
  if (!sane) return false;
  auto rings =
      SharedRegion::map(std::exchange(fds[0], -1), welcome.replies_offset + ReplyRing::bytes(entries));
  if (!rings) return false;
  rings_ = std::move(*rings);
  plane_doorbell_ = std::exchange(fds[1], -1);
  own_doorbell_ = std::exchange(fds[2], -1);
  for (int fd : {plane_doorbell_, own_doorbell_}) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  requests_ = RequestRing::attach(rings_.data(), entries);
  replies_ = ReplyRing::attach(rings_.data() + welcome.replies_offset, entries);
  ring_entries_ = entries;
  state_ = State::kUp;
  up_since_ns_ = clock_.now_ns();
  return true;
}

bool PlaneLink::submit(const LinkRequest& request) {
  SS_CHECK(up(), "requests are sent over a link that is up");
  return requests_.push(request);
}

void PlaneLink::ring() {
  if (!up() || !requests_.must_ring()) return;
  const uint64_t one = 1;
  // A full counter rings as well; a plane that is gone shows at the socket.
  [[maybe_unused]] const ssize_t written = write(plane_doorbell_, &one, sizeof one);
}

void PlaneLink::end_sleep() {
  look_at_socket();
  if (!up()) return;
  replies_.end_sleep();
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(own_doorbell_, &count, sizeof count);
}

uint64_t PlaneLink::next_step_ns() const {
  if (state_ == State::kDown) return retry_at_ns_;
  return state_ == State::kGreeting ? welcome_by_ns_ : UINT64_MAX;
}

void PlaneLink::drop(const char* reason) {
  say_down(reason);
  if (state_ == State::kUp) {
    down_since_ns_ = clock_.now_ns();
    // A plane that falls right after every greeting must not cost a fresh staging region every 50 ms.
    if (down_since_ns_ - up_since_ns_ >= kBackoffMaxNs) backoff_ns_ = kBackoffMinNs;
  }
  retry_later();
}

void PlaneLink::retry_later() {
  close_all();
  state_ = State::kDown;
  retry_at_ns_ = clock_.now_ns() + backoff_ns_;
  backoff_ns_ = std::min(backoff_ns_ * 2, kBackoffMaxNs);
}

void PlaneLink::close_all() {
  close_fd(socket_);
  close_fd(plane_doorbell_);
  close_fd(own_doorbell_);
  requests_ = {};
  replies_ = {};
  rings_ = {};
  staging_ = {};
  if (device_staging_.data() != nullptr) retired_staging_ = std::move(device_staging_);
  ring_entries_ = 0;
}

void PlaneLink::say_down(const std::string& reason) {
  if (absence_ != Absence::kNone) return;  // still the same one
  const uint64_t now = clock_.now_ns();
  const bool flaps = said_at_ns_ != 0 && now - said_at_ns_ < kQuietNs;
  absence_ = flaps ? Absence::kUnsaid : Absence::kSaid;
  if (flaps) return;
  said_at_ns_ = now;
  link_log().warn("no data plane at {} ({}): prompts are computed until it is there", socket_path_, reason);
}

void PlaneLink::say_up(uint32_t session) {
  // A plane that was there from the first try on is said as well, once.
  const bool worth_it = absence_ == Absence::kSaid || said_at_ns_ == 0;
  absence_ = Absence::kNone;
  if (worth_it) link_log().info("data plane at {} is there (session {})", socket_path_, session);
}

}  // namespace shadowserve
