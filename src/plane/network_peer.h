// One engine on another machine: its TLS connection on one side, an attachment to this data plane on the
// other.
#pragma once

#include <poll.h>

#include <cstdint>
#include <string>
#include <vector>

#include "wire/local_attachment.h"
#include "wire/network/link_pulse.h"
#include "wire/network/memory_window.h"
#include "wire/network/network_frame.h"
#include "wire/network/tls_stream.h"
#include "world/clock.h"

namespace shadowserve {

/// To the plane's reception it is an engine like any other on this host: same hello, same rings, same checks.
/// Only the gate's thread. Nothing blocks; allocates.
class NetworkPeer {
 public:
  /// From the connection to the end of TLS's handshake.
  static constexpr uint64_t kHandshakeNs = 2'000 * kNsPerMs;
  /// From there to the first byte: the engine takes its staging memory meanwhile.
  static constexpr uint64_t kFirstByteNs = 5'000 * kNsPerMs;
  /// For the plane's own answer to a hello or a call.
  static constexpr uint64_t kAnswerNs = 4'000 * kNsPerMs;
  /// For the last words.
  static constexpr uint64_t kLeaveNs = 1'000 * kNsPerMs;

  /// Takes the connected socket. The others outlive the peer; `socket_path`: where the plane's reception
  /// listens.
  NetworkPeer(int fd, const TlsIdentity& identity, WindowDesk& window, const std::string& socket_path,
              uint64_t now_ns);

  ~NetworkPeer() { let_go(); }
  NetworkPeer(const NetworkPeer&) = delete;
  NetworkPeer& operator=(const NetworkPeer&) = delete;

  enum class State : uint8_t { kHandshake, kListening, kAttaching, kUp, kCalling, kLeaving, kGone };
  /// Does what can be done now, a bounded part of it. True: there is more to do at once.
  bool step(uint64_t now_ns);
  State state() const { return state_; }
  /// What to wait for (descriptor -1: nothing); and when to step although nothing woke the thread.
  void waits(pollfd (&into)[3]) const;
  uint64_t next_ns() const;
  /// Before and after the thread sleeps. False: there is something to do.
  bool prepare_sleep() { return state_ != State::kUp || !has_room() || local_.prepare_sleep(); }
  void end_sleep() {
    if (state_ == State::kUp) local_.end_sleep();
  }
  /// Last words and the end of the session, as far as they can be had without waiting.
  void leave(Error error, std::string_view sentence, uint64_t now_ns);

  /// "10.0.0.7:51234 (engine)".
  const std::string& who() const { return who_; }
  /// Why it is kLeaving or kGone.
  const std::string& reason() const { return reason_; }
  /// It had a session.
  bool was_up() const { return was_up_; }
  /// It called, and has its answer.
  bool answered() const { return answered_; }

 private:
  // Replies that may lie before the socket. On a fast link none do; on a slow one the rest waits in the ring,
  // and the thread for the socket.
  bool has_room() const { return stream_.queued() < (16u << 10); }
  void gone(std::string reason);
  bool read_frames(uint64_t now_ns);
  void frame_came(uint64_t now_ns);
  void hello_came(uint64_t now_ns);
  void call_came(uint64_t now_ns);
  void requests_came(uint64_t now_ns);
  void look_for_welcome(uint64_t now_ns);
  void look_for_answer(uint64_t now_ns);
  void send_replies();
  void check_time(uint64_t now_ns);
  void let_go();

  WindowDesk& window_;
  const std::string& socket_path_;
  TlsStream stream_;
  FrameReader reader_{FrameSide::kPlane};
  LinkPulse pulse_;
  LocalAttachment local_;
  int desk_fd_ = -1;
  State state_ = State::kHandshake;
  bool heard_ = false;
  bool finished_ = false;
  bool was_up_ = false;
  bool answered_ = false;
  uint64_t by_ns_;
  std::string who_;
  std::string reason_;
  BatchBuffer batch_;
};

}  // namespace shadowserve
