// What carries one link, from greeting to end: rings in shared memory on one host, TLS across machines.
#pragma once

#include <poll.h>

#include <cstdint>
#include <string>

#include "wire/link_message.h"

namespace shadowserve {

/// Made for one connection by a PlaneLink and driven by its thread. Nothing blocks.
class LinkCarrier {
 public:
  virtual ~LinkCarrier() = default;
  LinkCarrier() = default;
  LinkCarrier(const LinkCarrier&) = delete;
  LinkCarrier& operator=(const LinkCarrier&) = delete;

  enum class State : uint8_t {
    kGreeting,  ///< connecting, or waiting for the welcome
    kUp,        ///< requests can be sent
    kRefused,   ///< the plane said no, and reason() is its sentence
    kGone,      ///< lost, or never had; reason() says why
  };
  /// Does what can be done now. Nothing more is done after kRefused and kGone.
  virtual State step(uint64_t now_ns) = 0;
  /// A descriptor woke the thread: the next step() looks at it at once.
  virtual void look_now() {}
  const std::string& reason() const { return reason_; }
  /// When step() has to be called although no descriptor woke the thread; UINT64_MAX: never.
  virtual uint64_t next_step_ns() const = 0;

  virtual int socket_fd() const = 0;
  virtual short socket_events() const { return POLLIN; }
  /// -1: the socket alone wakes.
  virtual int doorbell_fd() const { return -1; }

  // While kUp.
  virtual uint32_t session() const = 0;
  virtual uint32_t ring_entries() const = 0;
  virtual bool submit(const LinkRequest& request) = 0;
  virtual bool take(LinkReply& reply) = 0;
  virtual void ring() = 0;
  virtual bool prepare_sleep() = 0;
  virtual void end_sleep() = 0;

 protected:
  State gone(std::string reason) {
    reason_ = std::move(reason);
    return State::kGone;
  }
  std::string reason_;
};

}  // namespace shadowserve
