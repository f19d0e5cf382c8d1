// The client's end of a link on one host: the Unix socket, the rings that came with the welcome, the
// doorbells.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "memory/shared_region.h"
#include "wire/link_message.h"

namespace shadowserve {

/// From connecting to the end of one link. One thread; nothing blocks. Engines have one, and so has the gate
/// of a data plane for each engine on another machine.
class LocalAttachment {
 public:
  LocalAttachment() = default;
  LocalAttachment(LocalAttachment&& other) noexcept;
  LocalAttachment& operator=(LocalAttachment&& other) noexcept;
  ~LocalAttachment();

  /// Errors: kPlaneDown, kSystem; `reason` says why.
  Result<void> connect(const std::string& path, std::string& reason);
  /// Sends the hello with the descriptors that it announces. False: the plane did not take it.
  bool greet(const LinkHello& hello, std::span<const int> fds);

  enum class Greeting : uint8_t { kPending, kUp, kRefused, kBroken };
  /// The answer, when it is there. After kRefused `reason` is the plane's sentence and refusal() its error.
  Greeting read_welcome(std::string& reason);
  Error refusal() const { return refusal_; }
  /// After kUp: true when the plane closed the socket, or talks on it.
  bool ended(std::string& reason);

  int socket_fd() const { return socket_; }
  int doorbell_fd() const { return own_doorbell_; }
  uint32_t ring_entries() const { return ring_entries_; }
  uint32_t session() const { return session_; }

  bool submit(const LinkRequest& request) { return requests_.push(request); }
  bool take(LinkReply& reply) { return replies_.pop(reply); }
  bool replies_wait() const { return !replies_.empty(); }
  /// Wakes the plane when it sleeps; once after a batch of submit().
  void ring();
  bool prepare_sleep() { return replies_.prepare_sleep(); }
  void end_sleep();

 private:
  bool adopt(const LinkWelcome& welcome, int (&fds)[3]);
  void close_all();
  int socket_ = -1;
  int plane_doorbell_ = -1;
  int own_doorbell_ = -1;
  SharedRegion rings_;
  RequestRing requests_;
  ReplyRing replies_;
  uint32_t ring_entries_ = 0;
  uint32_t session_ = 0;
  Error refusal_ = Error::kNone;
};

}  // namespace shadowserve
