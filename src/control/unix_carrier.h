// A link over a Unix socket and rings in memory that both processes share.
#pragma once

#include <span>
#include <string>

#include "control/link_carrier.h"
#include "wire/local_attachment.h"
#include "world/clock.h"

namespace shadowserve {

class UnixCarrier final : public LinkCarrier {
 public:
  static constexpr uint64_t kWelcomeTimeoutNs = 2'000 * kNsPerMs;

  /// Connects at once: false when nobody is there, and reason() says so.
  bool connect(const std::string& path);
  /// False: the greeting was not taken.
  bool greet(const LinkHello& hello, std::span<const int> fds, uint64_t now_ns);

  State step(uint64_t now_ns) override;
  void look_now() override { look_at_ns_ = 0; }
  uint64_t next_step_ns() const override { return up_ ? UINT64_MAX : welcome_by_ns_; }
  int socket_fd() const override { return attachment_.socket_fd(); }
  int doorbell_fd() const override { return attachment_.doorbell_fd(); }
  uint32_t session() const override { return attachment_.session(); }
  uint32_t ring_entries() const override { return attachment_.ring_entries(); }
  bool submit(const LinkRequest& request) override { return attachment_.submit(request); }
  bool take(LinkReply& reply) override { return attachment_.take(reply); }
  void ring() override { attachment_.ring(); }
  bool prepare_sleep() override { return attachment_.prepare_sleep(); }
  void end_sleep() override { attachment_.end_sleep(); }

 private:
  State read_welcome(uint64_t now_ns);
  LocalAttachment attachment_;
  bool up_ = false;
  uint64_t welcome_by_ns_ = 0;
  uint64_t look_at_ns_ = 0;
};

}  // namespace shadowserve
