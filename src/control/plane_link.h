// The client's end of the link to the data plane: connects, greets, and starts afresh whenever the plane is
// gone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "control/calibration_file.h"
#include "control/link_carrier.h"
#include "control/unix_carrier.h"
#include "kernels/staging_memory.h"
#include "wire/link_message.h"
#include "wire/network/plane_endpoint.h"
#include "world/clock.h"

namespace shadowserve {

/// One link, owned and driven by one thread (the object's link thread). Nothing here blocks; only the moment
/// of connecting takes the staging region's allocation (tens of ms for 256 MiB). What carries it depends on
/// the plane's address; who uses the link sees no difference.
///
/// Every connection has a staging region and queues of its own. A plane that is stuck rather than dead may
/// still write into the old ones later; they are unmapped here and never used again, so it cannot do harm.
class PlaneLink {
 public:
  static constexpr uint64_t kBackoffMinNs = 50 * kNsPerMs;
  static constexpr uint64_t kBackoffMaxNs = 1'000 * kNsPerMs;
  static constexpr uint64_t kWelcomeTimeoutNs = UnixCarrier::kWelcomeTimeoutNs;

  /// `hello.staging_bytes` says how much staging memory each connection gets, and `place` where.
  /// `calibration` goes along where the hello says its size. `clock` must outlive the link.
  PlaneLink(PlaneEndpoint endpoint, const LinkHello& hello, const Clock& clock, StagingPlace place = {},
            std::shared_ptr<const CalibrationFile> calibration = nullptr);
  ~PlaneLink();
  PlaneLink(const PlaneLink&) = delete;
  PlaneLink& operator=(const PlaneLink&) = delete;

  enum class Change : uint8_t { kNone, kCameUp, kWentDown };
  /// Connects, answers, detects a closed socket. After kWentDown nothing sent before will be answered.
  Change step();
  /// Gives the connection up (the plane does not answer, or answers nonsense). The caller treats everything
  /// in flight as lost: step() will not report it again.
  void drop(std::string reason);

  bool up() const { return state_ == State::kUp; }
  uint64_t down_since_ns() const { return down_since_ns_; }
  /// When step() has something to do without being woken by a descriptor; UINT64_MAX: never.
  uint64_t next_step_ns() const;
  /// What wakes a sleeping thread; -1: nothing to wait for.
  int socket_fd() const { return carrier_ ? carrier_->socket_fd() : -1; }
  short socket_events() const { return carrier_ ? carrier_->socket_events() : POLLIN; }
  int doorbell_fd() const { return carrier_ ? carrier_->doorbell_fd() : -1; }

  /// REQUIRES up(). False when there is no room.
  bool submit(const LinkRequest& request);
  bool take(LinkReply& reply) { return carrier_ && carrier_->take(reply); }
  /// Sends what was submitted, and wakes the plane; once after a batch of submit().
  void ring() {
    if (up()) carrier_->ring();
  }
  /// Consumer's side of the replies' sleep handshake; true when it is safe to sleep.
  bool prepare_sleep() { return !up() || carrier_->prepare_sleep(); }
  void end_sleep();

  /// REQUIRES up(), on a link with staging memory.
  const std::shared_ptr<const StagingMemory>& staging() const { return staging_; }
  /// Requests that may be in flight at once: a reply never lacks room.
  uint32_t ring_entries() const { return up() ? carrier_->ring_entries() : 0; }

 private:
  enum class State : uint8_t { kDown, kGreeting, kUp };
  bool connect_and_greet();
  bool greet_over_unix();
  bool greet_over_tls();
  bool take_staging();
  void close_all();
  void retry_later();
  void say_down(const std::string& reason);
  void say_up(uint32_t session);

  enum class Absence : uint8_t { kNone, kSaid, kUnsaid };

  const PlaneEndpoint endpoint_;
  LinkHello hello_;
  const StagingPlace place_;
  const std::shared_ptr<const CalibrationFile> calibration_;
  const Clock& clock_;
  State state_ = State::kDown;
  uint64_t retry_at_ns_ = 0;
  uint64_t backoff_ns_ = kBackoffMinNs;
  uint64_t up_since_ns_ = 0;
  uint64_t down_since_ns_ = 0;
  uint64_t said_at_ns_ = 0;  // when an absence was last logged; 0: never
  Absence absence_ = Absence::kNone;
  size_t attempts_ = 0;
  std::unique_ptr<LinkCarrier> carrier_;
  std::shared_ptr<const StagingMemory> staging_;
  /// GPU memory of the connection before: a plane that is stuck rather than dead has it open for some time
  /// yet, and CUDA promises nothing for memory that is freed under somebody.
  std::shared_ptr<const StagingMemory> retired_staging_;
};

}  // namespace shadowserve
