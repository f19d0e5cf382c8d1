// One TLS connection over a non-blocking TCP socket, with a bounded queue of what still has to be sent.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "wire/network/tls_identity.h"

using SSL = struct ssl_st;

namespace shadowserve {

/// One thread. Nothing blocks; OpenSSL allocates, so no stage loop ever touches one.
class TlsStream {
 public:
  /// What may wait to be sent: the largest frame there is, and some.
  static constexpr size_t kQueueBytesMax = (2u << 20) + (64u << 10);

  TlsStream() = default;
  /// Takes the socket, which may still be connecting. `name`: what an engine wants to find in the plane's
  /// certificate, a host's name or address; not looked at on the plane's side.
  TlsStream(int fd, const TlsIdentity& identity, const std::string& name);
  TlsStream(TlsStream&& other) noexcept;
  TlsStream& operator=(TlsStream&& other) noexcept;
  ~TlsStream();

  bool open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  /// Goes on with the handshake and sends what waits. False: the connection is gone, reason() says why.
  bool step();
  /// The handshake is done: the peer has proved who it is. (To the engine; the plane's verdict on the
  /// engine's own certificate comes with the first read.)
  bool ready() const { return ready_; }
  /// Bytes of the peer; 0: none now; -1: gone.
  ssize_t read(std::span<std::byte> into);
  /// False when the queue is too full for all of it. Sent by the next step().
  bool queue(std::span<const std::byte> bytes);
  size_t queued() const { return out_.size() - sent_; }
  /// Wait for POLLOUT as well as for POLLIN.
  bool wants_write() const { return wants_write_; }
  /// Says to the peer that nothing more comes; what it sends can still be read.
  void finish();
  void close();

  /// A sentence's end for logs: "its certificate has expired".
  const std::string& reason() const { return reason_; }
  /// Gone, and nobody was there to speak with: another try may find somebody.
  bool never_connected() const { return never_connected_; }
  /// The peer's common name; empty before ready().
  std::string peer_name() const;

 private:
  bool gone(int result);
  std::string explain(int code) const;

  int fd_ = -1;
  SSL* ssl_ = nullptr;
  bool engine_ = false;
  bool ready_ = false;
  bool never_connected_ = false;
  bool wants_write_ = false;
  std::vector<std::byte> out_;
  size_t sent_ = 0;
  std::string reason_;
};

}  // namespace shadowserve
