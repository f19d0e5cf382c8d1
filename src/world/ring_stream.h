// The stream behind IoUringStream: one ring, one connection.
#pragma once

#include <liburing.h>

#include <array>
#include <memory>
#include <thread>

#include "world/stream_io_uring.h"

namespace shadowserve {

/// Whether a read of this descriptor can be told not to wait (RWF_NOWAIT): sockets can since Linux 6.5.
bool can_read_without_waiting(int fd);

class RingStream final : public IoUringStream {
 public:
  /// Null, and errno, when the kernel gives no ring.
  static std::unique_ptr<RingStream> create(IoUringMode mode);
  ~RingStream() override;
  RingStream(const RingStream&) = delete;
  RingStream& operator=(const RingStream&) = delete;

  Result<void> connect(const StreamAddress& to) override;
  Result<bool> ready() override;
  Result<size_t> readv(std::span<const iovec> into) override;
  Result<size_t> writev(std::span<const iovec> from) override;
  Result<void> flush() override;
  int fd() const override { return tcp_.fd(); }
  bool wants_output() const override { return tcp_.wants_output() || blocked_; }
  bool has_input() const override { return false; }
  void close() override;
  int why() const override { return why_; }
  void use_memory(std::span<std::byte> memory) override;
  uint64_t kernel_calls() const override { return kernel_calls_; }
  bool has_registered_memory() const override { return !memory_.empty(); }

 private:
  static constexpr size_t kPartsMax = 160;  ///< of one send or receive
  enum Tag : uint64_t { kNobody, kReceived, kTail, kSent, kInput, kOutput };
  explicit RingStream(IoUringMode mode);
  Failure broken(int why);
  bool begin();
  void reap();
  bool news() const;
  Result<void> enter();
  io_uring_sqe& entry();
  int target() const { return fixed_file_ ? 0 : tcp_.fd(); }
  void seal(io_uring_sqe& entry, Tag tag, unsigned more_flags = 0) const;
  void queue_watch();
  void queue_send(std::span<const iovec> more);
  void queue_receive(std::span<const iovec> into);
  Result<size_t> settle_send(size_t wanted);
  Result<size_t> settle_receive(size_t wanted);
  Result<void> hear_of_room();
  void forget_watches();
  bool in_memory(const iovec& part) const;

  TcpStream tcp_;  // makes and ends connections; no byte passes through it
  io_uring ring_{};
  IoUringMode mode_;
  bool made_ = false;        // ring_ is there
  bool fixed_file_ = false;  // the socket is known by a number of the ring's own
  bool dead_ = false;        // the kernel no longer takes calls: should never happen, and must hurt nobody
  std::span<std::byte> memory_;  // what is registered
  std::thread::id owner_;
  uint64_t kernel_calls_ = 0;

  msghdr send_{}, receive_{};
  std::array<iovec, kPartsMax> send_parts_, receive_parts_;
  std::array<std::byte, kKeptBytesMax> kept_;
  size_t kept_begin_ = 0, kept_end_ = 0;
  int received_ = 0, tail_ = 0, sent_ = 0;  // results; negative: -errno
  int pending_ = 0;                         // receives and sends that have not ended

  // Of this connection.
  int why_ = 0;
  int late_why_ = -1;      // a failure behind bytes that had to be told first; -1: none
  bool started_ = false;   // the ring knows the socket
  bool watching_ = false;  // the kernel will tell of input
  bool input_ = false;     // there may be something to receive
  bool ended_ = false;     // the peer is done: there is always something, if only the end
  bool blocked_ = false;   // no room to send; the kernel will tell
};

}  // namespace shadowserve
