// One message with one descriptor a connection.
#include "wire/network/memory_window.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "wire/unix_socket.h"
#include "world/clock.h"

namespace shadowserve {
namespace {

constexpr uint32_t kWindowMagic = 0x4e575353;  // "SSWN"
constexpr uint16_t kWindowVersion = 1;
constexpr uint64_t kAnnounceByNs = 2'000 * kNsPerMs;

struct WindowCall {
  uint32_t magic = kWindowMagic;
  uint16_t version = kWindowVersion;
  uint16_t reserved = 0;
  uint64_t bytes = 0;
  std::array<std::byte, 16> token{};
};
static_assert(sizeof(WindowCall) == 32);

}  // namespace

WindowExport::WindowExport(WindowExport&& other) noexcept { *this = std::move(other); }
WindowExport& WindowExport::operator=(WindowExport&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(handle_, other.handle_);
  return *this;
}
WindowExport::~WindowExport() {
  if (fd_ >= 0) close(fd_);
}

Result<WindowExport> WindowExport::announce(const std::string& path, const SharedRegion& region,
                                            uint64_t bytes, std::string& message) {
  WindowExport window;
  window.handle_.bytes = bytes;
  WindowCall call;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(call.token.data()), static_cast<int>(call.token.size())) !=
      1) {
    message = "there is no randomness for a window's token";
    return fail(Error::kSystem);
  }
  window.handle_.token = call.token;
  call.bytes = bytes;
  const auto connected = connect_unix(path, SOCK_SEQPACKET);
  if (!connected) {
    message = fmt::format("no data plane listens on the window {}", path);
    return fail(Error::kPlaneDown);
  }
  window.fd_ = *connected;
  const int fds[] = {region.fd()};
  if (!send_with_fds(window.fd_, &call, sizeof call, fds)) {
    message = fmt::format("the data plane does not take memory on the window {}", path);
    return fail(Error::kPlaneDown);
  }
  return window;
}

WindowDesk::~WindowDesk() {
  for (Announcement& each : rows_) forget(each);
  if (fd_ < 0) return;
  close(fd_);
  unlink(path_.c_str());
}

void WindowDesk::forget(Announcement& each) {
  for (const int fd : {each.socket, each.memory}) {
    if (fd >= 0) close(fd);
  }
  each = {};
}

Result<void> WindowDesk::listen(const std::string& path, std::string& message) {
  const auto listening = listen_unix(path, SOCK_SEQPACKET, message);
  if (!listening) return fail(listening.error());
  fd_ = *listening;
  path_ = path;
  return {};
}

void WindowDesk::step() {
  if (fd_ < 0) return;
  for (Announcement& each : rows_) {
    if (each.socket >= 0) hear(each);
  }
  for (Announcement& each : rows_) {
    if (each.socket >= 0) continue;
    // Rows that are taken leave the rest in the kernel's queue; what is lost is an engine's first try.
    each.socket = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (each.socket < 0) return;
    each.by_ns = MonotonicClock().now_ns() + kAnnounceByNs;
    if (peer_may_attach(each.socket)) {
      hear(each);
    } else {
      forget(each);
    }
  }
}

void WindowDesk::hear(Announcement& each) {
  WindowCall call;
  ReceivedFds fds;
  const ssize_t got = receive_with_fds(each.socket, &call, sizeof call, fds);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    if (each.memory < 0 && MonotonicClock().now_ns() >= each.by_ns) forget(each);
    return;
  }
  const bool sound = got == sizeof call && call.magic == kWindowMagic && call.version == kWindowVersion &&
                     call.reserved == 0 && call.bytes > 0 && fds.count() == 1 && each.memory < 0;
  if (!sound) return forget(each);  // withdrawn, or it broke the rules
  each.memory = fds.take(0);
  each.handle = {call.token, call.bytes};
}

Result<int> WindowDesk::take(const WindowHandle& handle, std::string& message) {
  step();
  for (Announcement& each : rows_) {
    if (each.memory < 0 || each.handle.bytes != handle.bytes) continue;
    if (CRYPTO_memcmp(each.handle.token.data(), handle.token.data(), handle.token.size()) != 0) continue;
    const int memory = std::exchange(each.memory, -1);
    forget(each);
    return memory;
  }
  message = fd_ < 0 ? "this data plane has no window to an engine's memory: start it with --window PATH"
                    : fmt::format("the engine's memory was not announced on the window {} of this data plane",
                                  path_);
  return fail(Error::kConfig);
}

size_t WindowDesk::waiting() const {
  size_t count = 0;
  for (const Announcement& each : rows_) count += each.memory >= 0 ? 1 : 0;
  return count;
}

}  // namespace shadowserve
