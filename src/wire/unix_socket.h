// Unix sockets of the link: listening, and messages that carry descriptors.
#pragma once

#include <sys/types.h>

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

/// recvmsg of one message and at most `fds.size()` descriptors (close-on-exec); surplus ones are closed.
/// Returns the message's size or -1 (errno); `fd_count` says how many descriptors came.
ssize_t receive_with_fds(int socket, void* message, size_t bytes, std::span<int> fds, size_t& fd_count);
/// The same for at most one; `fd` is -1 when none came.
ssize_t receive_with_fd(int socket, void* message, size_t bytes, int& fd);

/// Sends one message with descriptors. False on any error.
bool send_with_fds(int socket, const void* message, size_t bytes, std::span<const int> fds);

}  // namespace shadowserve
