// One connection of UCX, as either end sees it: a worker of its own, bytes in and bytes out.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "world/stream.h"
#include "world/ucx/ucx_library.h"

namespace shadowserve {

/// Belongs to one thread at a time, which may change where threads synchronise. Making and destroying blocks
/// and allocates; other calls do neither once a few bytes of each size went both ways.
class UcxLink {
 public:
  /// Sends copy into this many buffers, which stay until UCX is done with them.
  static constexpr size_t kBuffers = 4;

  /// A worker that knows nobody yet. Null and errno in `why` when UCX gives none.
  static std::unique_ptr<UcxLink> create(std::shared_ptr<const UcxContext> context, size_t buffer_bytes,
                                         int& why);
  /// For the peer's join().
  std::vector<std::byte> address() const;
  /// Begins to connect to the peer's address, which UCX believes. errno, 0: begun. One side is first, and the
  /// other one waits in drive() until it hears that the first one's sends have ended: where both begin at
  /// once UCX makes two connections, and allocates when it drops one of them later.
  int join(std::span<const std::byte> address);
  /// A connection to the same peer, on which nothing is said any more: when it ends so does this one.
  /// Where `first` it is looked at before UCX is: hearing of a lost peer UCX allocates, and what the peer
  /// said last is not waited for.
  void keep(TcpStream& control, bool first);
  /// Tells the peer, and waits for it a little.
  ~UcxLink();
  UcxLink(const UcxLink&) = delete;
  UcxLink& operator=(const UcxLink&) = delete;

  /// What was received and not consumed, in order, as far as it lies in one piece; looks for more when
  /// nothing is left. Empty: nothing there now, or see failure().
  std::span<const std::byte> peek();
  /// Done with the first `bytes` of what peek() gave.
  void consume(size_t bytes);

  /// A buffer to fill and send(). Empty: all are on their way.
  std::span<std::byte> room();
  /// Sends the first `bytes` > 0 of what room() gave.
  void send(size_t bytes);
  /// True while anything that was sent is on its way.
  bool sending();
  /// Moves sends on, unless something that was received waits to be read.
  void drive();

  /// errno once the connection is lost; 0 = it is not. Bytes that came before may still be there.
  int failure() const { return failure_; }
  /// Readable when peek() or room() may have more to say, if arm() was asked before and said true.
  int event_fd() const { return event_fd_; }
  /// Readable when the peer is gone: peek() finds out.
  int control_fd() const { return control_fd_; }
  /// Before sleep. False: look again first.
  bool arm();

 private:
  struct Buffer {
    std::vector<std::byte> bytes;
    void* request = nullptr;  // UCX sends from it
  };
  UcxLink(std::shared_ptr<const UcxContext> context, size_t buffer_bytes);
  void look_at_control();
  static void hear_failure(void* self, ucp_ep_h, ucs_status_t status);
  bool fetch();
  bool progress();
  void settle();
  void end();

  std::shared_ptr<const UcxContext> context_;
  const UcxLibrary& calls_;
  ucp_worker_h worker_ = nullptr;
  ucp_ep_h endpoint_ = nullptr;
  int event_fd_ = -1;
  int control_fd_ = -1;
  bool control_first_ = false;
  bool armed_ = false;
  uint32_t looks_ = 0;
  int failure_ = 0;
  std::byte* held_ = nullptr;  // a fragment that UCX lends
  size_t held_bytes_ = 0, consumed_ = 0;
  std::array<Buffer, kBuffers> buffers_;
  size_t next_ = 0, oldest_ = 0, busy_ = 0;  // of buffers_
};

}  // namespace shadowserve
