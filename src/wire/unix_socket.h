// Unix sockets of the link: listening, and messages that carry descriptors.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <span>
#include <string>

#include "contract/result.h"

namespace shadowserve {

/// Binds and listens (mode 0600, non-blocking). Replaces a socket file nobody listens on any more; when
/// somebody does, or the path is too long or not writable, `message` says so. `type`: SOCK_SEQPACKET/STREAM.
Result<int> listen_unix(const std::string& path, int type, std::string& message);

/// Starts connecting (non-blocking; Unix sockets connect at once or fail). kPlaneDown when nobody listens.
Result<int> connect_unix(const std::string& path, int type);

/// True when the peer runs as our user or as root.
bool peer_may_attach(int fd);

/// Descriptors that came with a message: those that nobody took are closed.
class ReceivedFds {
 public:
  /// One more than any message may have, so that too many are seen.
  static constexpr size_t kMax = 4;
  ReceivedFds() { fds_.fill(-1); }
  ~ReceivedFds();
  ReceivedFds(const ReceivedFds&) = delete;
  ReceivedFds& operator=(const ReceivedFds&) = delete;

  size_t count() const { return count_; }
  /// The caller's from now on. REQUIRES index < count(), and that it was not taken before.
  int take(size_t index);

 private:
  friend ssize_t receive_with_fds(int socket, void* message, size_t bytes, ReceivedFds& fds);
  std::array<int, kMax> fds_;
  size_t count_ = 0;
};

/// recvmsg of one message and at most `fds.size()` descriptors (close-on-exec); surplus ones are closed.
/// Returns the message's size or -1 (errno); `fd_count` says how many descriptors came.
ssize_t receive_with_fds(int socket, void* message, size_t bytes, std::span<int> fds, size_t& fd_count);
/// The same; REQUIRES fresh `fds`.
ssize_t receive_with_fds(int socket, void* message, size_t bytes, ReceivedFds& fds);

/// Sends one message with descriptors. False on any error.
bool send_with_fds(int socket, const void* message, size_t bytes, std::span<const int> fds);

}  // namespace shadowserve
