// Seam: a non-blocking byte stream to another process. TCP here; TLS and faulty twins fit behind the same
// calls.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "contract/result.h"

namespace shadowserve {

/// Where to connect to, resolved.
struct StreamAddress {
  sockaddr_storage address{};
  socklen_t size = 0;
};

/// "host:port", with brackets around a host that has colons of its own: for addresses and people.
std::string host_and_port(std::string_view host, uint16_t port);

/// Looks a host name or address up. Blocks and allocates: call it at start. kConfig with a sentence in
/// `message` when the name does not exist, kSystem when it could not be looked up.
Result<std::vector<StreamAddress>> resolve_stream(const std::string& host, uint16_t port,
                                                  std::string& message);

/// One connection at a time; may be connected again after close(). One thread. No call blocks or allocates.
/// Every failure is kSystem and leaves the stream to be closed by the caller; why() then tells the errno.
class Stream {
 public:
  virtual ~Stream() = default;

  /// Starts connecting. The stream is closed before.
  virtual Result<void> connect(const StreamAddress& to) = 0;
  /// Drives connecting (and any handshake of the stream's own): true once bytes can flow, false = not yet.
  virtual Result<bool> ready() = 0;

  /// Receives into `into`, in order. 0 = nothing there now. The end of the stream is a failure (why() is 0).
  virtual Result<size_t> readv(std::span<const iovec> into) = 0;
  /// Sends as much as fits now, possibly 0. The bytes may be reused when it returns. A stream may keep some
  /// of them to send them with the next readv().
  virtual Result<size_t> writev(std::span<const iovec> from) = 0;
  /// Sends what writev() kept, as far as it fits. For whoever does not call readv() next.
  virtual Result<void> flush() { return {}; }

  /// For epoll; -1 while closed. A new one after each connect().
  virtual int fd() const = 0;
  /// True when the stream waits for output to be possible even if its user has nothing to send (a handshake,
  /// or kept bytes that found no room).
  virtual bool wants_output() const = 0;
  /// True when bytes were received below this interface that epoll no longer reports (TLS): read before
  /// sleep.
  virtual bool has_input() const = 0;
  /// Not 0: the stream takes no input before this time, whatever epoll says (a limit on its rate). Watch for
  /// output only meanwhile, or epoll never lets its caller sleep, and read again then.
  virtual uint64_t input_held_until_ns() const { return 0; }
  virtual void close() = 0;
  /// Tells where most of what is received will go, for streams that can make use of it. At start, before the
  /// first ready(); may block. The memory outlives the stream.
  virtual void use_memory(std::span<std::byte>) {}
  /// errno of the last failure; 0 = the peer closed.
  virtual int why() const = 0;
};

/// How a connection's stream is made, at start. Empty: TCP.
using StreamMaker = std::function<std::unique_ptr<Stream>()>;

/// TCP, no delay, keep-alive.
class TcpStream final : public Stream {
 public:
  TcpStream() = default;
  ~TcpStream() override { close(); }
  TcpStream(const TcpStream&) = delete;
  TcpStream& operator=(const TcpStream&) = delete;

  Result<void> connect(const StreamAddress& to) override;
  /// Instead of connect(): a connection that was accepted, not blocking. The stream closes it.
  void adopt(int fd);
  /// The connection, which is the caller's to close from now on.
  int release();
  Result<bool> ready() override;
  Result<size_t> readv(std::span<const iovec> into) override;
  Result<size_t> writev(std::span<const iovec> from) override;
  int fd() const override { return fd_; }
  bool wants_output() const override { return connecting_; }
  bool has_input() const override { return false; }
  void close() override;
  int why() const override { return why_; }

 private:
  Failure broken(int why);
  int fd_ = -1;
  int why_ = 0;
  bool connecting_ = false;
};

}  // namespace shadowserve
