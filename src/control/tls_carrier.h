// A link across machines: frames over TLS, queues of fixed size, keep-alive.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "control/calibration_file.h"
#include "control/link_carrier.h"
#include "control/local_ring.h"
#include "wire/network/link_pulse.h"
#include "wire/network/memory_window.h"
#include "wire/network/network_frame.h"
#include "wire/network/plane_endpoint.h"
#include "wire/network/tls_stream.h"
#include "world/clock.h"

namespace shadowserve {

class TlsCarrier final : public LinkCarrier {
 public:
  /// For TCP and TLS, and again for the plane's answer; with a calibration that takes kNetworkGreetingNs.
  static constexpr uint64_t kGreetingNs = 2'000 * kNsPerMs;

  /// Takes the staging memory of this connection; nullptr: there is none left.
  using TakeStaging = std::function<const SharedRegion*()>;

  /// Everything outlives the carrier. `take_staging` is called once the plane has proved who it is, if the
  /// hello wants staging memory: an absent plane costs none.
  TlsCarrier(const PlaneEndpoint& endpoint, const Clock& clock, const LinkHello& hello,
             std::shared_ptr<const CalibrationFile> calibration, TakeStaging take_staging);

  /// Starts to connect to the `attempt`-th of the endpoint's addresses, in turn. False: that failed at once.
  bool connect(size_t attempt);

  State step(uint64_t now_ns) override;
  uint64_t next_step_ns() const override;
  int socket_fd() const override { return stream_.fd(); }
  short socket_events() const override {
    return static_cast<short>(POLLIN | (stream_.wants_write() ? POLLOUT : 0));
  }
  uint32_t session() const override { return session_; }
  uint32_t ring_entries() const override { return ring_entries_; }
  bool submit(const LinkRequest& request) override;
  bool take(LinkReply& reply) override { return replies_->pop(reply); }
  void ring() override;
  bool prepare_sleep() override {
    return !more_ && replies_->empty() && (requests_->empty() || stream_.wants_write());
  }
  void end_sleep() override {}

 private:
  bool greet(uint64_t now_ns);
  State read_frames(uint64_t now_ns);
  State frame_came();
  bool send_requests(uint64_t now_ns);

  const PlaneEndpoint& endpoint_;
  const Clock& clock_;
  const LinkHello& hello_;
  const std::shared_ptr<const CalibrationFile> calibration_;
  const TakeStaging take_staging_;
  TlsStream stream_;
  FrameReader reader_{FrameSide::kEngine};
  LinkPulse pulse_;
  WindowExport window_;
  State state_ = State::kGreeting;
  bool secure_ = false;
  bool more_ = false;  ///< the last turn ended before the bytes did
  uint64_t greeted_by_ns_ = 0;
  uint32_t session_ = 0;
  uint32_t ring_entries_ = 0;
  LocalRing<LinkRequest> requests_;
  LocalRing<LinkReply> replies_;
  BatchBuffer batch_;
};

}  // namespace shadowserve
