// Test support: every kind of stream that this machine allows, and a peer on loopback to try them on.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "world/stream_io_uring.h"
#include "world/ucx/ucx_relay_trial.h"

namespace shadowserve {

/// Names of streams that tests go through, one by one.
inline const std::vector<std::string> kTrialStreams = {"sockets", "io_uring", "io_uring_cooperative",
                                                       "io_uring_plain", "ucx"};

/// Null where this machine does not allow it; `why` says so: a test then skips.
inline std::unique_ptr<Stream> make_trial_stream(std::string_view name, std::string& why) {
  if (name == "sockets") return std::make_unique<TcpStream>();
  if (name == "ucx") {
    auto made = UcxStream::create(why);
    return made ? std::make_unique<RelayedStream>(std::move(*made)) : nullptr;
  }
  const IoUringMode mode = name == "io_uring"               ? IoUringMode::kDeferred
                           : name == "io_uring_cooperative" ? IoUringMode::kCooperative
                                                            : IoUringMode::kPlain;
  auto made = IoUringStream::create(mode, why);
  return made ? std::move(*made) : nullptr;
}

/// Those of them that a data plane can be told to use.
inline const std::vector<std::string> kReceiveTrials = {"sockets", "io_uring"};

inline StreamMaker trial_stream_maker(const std::string& name) {
  return [name] {
    std::string why;
    return make_trial_stream(name, why);
  };
}

/// Listens on a free port of the loopback interface.
class Listener {
 public:
  Listener() {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    listen(fd_, 4);
    socklen_t size = sizeof(address);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~Listener() { ::close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  int fd() const { return fd_; }
  uint16_t port() const { return port_; }
  StreamAddress address() const {
    std::string message;
    return resolve_stream("127.0.0.1", port_, message).value().front();
  }
  int accept() const { return ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC); }

 private:
  int fd_;
  uint16_t port_;
};

/// Drives connecting for some seconds at most.
inline bool become_ready(Stream& stream) {
  for (int i = 0; i < 5000; ++i) {
    const Result<bool> ready = stream.ready();
    if (!ready) return false;
    if (*ready) return true;
    usleep(1000);
  }
  return false;
}

/// A stream and its peer, which meet at a listener of their own. A base of fixtures.
template <class Kind>
class Meeting {
 protected:
  Meeting() = default;
  ~Meeting() {
    if (peer_ >= 0) ::close(peer_);
  }
  void meet() {
    ASSERT_TRUE(stream_->connect(listener_.address()));
    ASSERT_TRUE(become_ready(*stream_));
    peer_ = listener_.accept();
  }

  Listener listener_;
  std::unique_ptr<Kind> stream_;
  int peer_ = -1;
};

/// writev() and flush() of one text.
inline Result<size_t> send_text(Stream& stream, std::string_view text) {
  const iovec part{const_cast<char*>(text.data()), text.size()};
  const Result<size_t> sent = stream.writev({&part, 1});
  if (sent && !stream.flush()) return fail(Error::kSystem);
  return sent;
}

}  // namespace shadowserve
