// Handshake and life of a link.
#include "control/plane_link.h"

#include <algorithm>
#include <array>
#include <utility>

#include "contract/check.h"
#include "control/link_log.h"
#include "control/tls_carrier.h"

namespace shadowserve {
namespace {

// One line per state change, but a plane that flaps must not flood the engine's log.
constexpr uint64_t kQuietNs = 10'000 * kNsPerMs;

}  // namespace

PlaneLink::PlaneLink(PlaneEndpoint endpoint, const LinkHello& hello, const Clock& clock, StagingPlace place,
                     std::shared_ptr<const CalibrationFile> calibration)
    : endpoint_(std::move(endpoint)),
      hello_(hello),
      place_(place),
      calibration_(std::move(calibration)),
      clock_(clock),
      down_since_ns_(clock.now_ns()) {
  SS_CHECK(hello_.calibration_bytes == 0 || calibration_ != nullptr, "what the hello announces is there");
}

PlaneLink::~PlaneLink() { close_all(); }

PlaneLink::Change PlaneLink::step() {
  const uint64_t now = clock_.now_ns();
  if (state_ == State::kDown) {
    if (now >= retry_at_ns_ && !connect_and_greet()) retry_later();
    return Change::kNone;
  }
  const bool was_up = up();
  switch (carrier_->step(now)) {
    case LinkCarrier::State::kGreeting:
      return Change::kNone;
    case LinkCarrier::State::kUp:
      if (was_up) return Change::kNone;
      state_ = State::kUp;
      up_since_ns_ = now;
      say_up(carrier_->session());
      return Change::kCameUp;
    case LinkCarrier::State::kRefused:
      backoff_ns_ = kBackoffMaxNs;  // it will hardly change its mind soon
      drop("it refused this engine: " + carrier_->reason());
      break;
    case LinkCarrier::State::kGone:
      drop(carrier_->reason());
      break;
  }
  return was_up ? Change::kWentDown : Change::kNone;
}

bool PlaneLink::connect_and_greet() {
  if (!(endpoint_.network() ? greet_over_tls() : greet_over_unix())) return false;
  state_ = State::kGreeting;
  return true;
}

bool PlaneLink::greet_over_unix() {
  auto carrier = std::make_unique<UnixCarrier>();
  bool greeted = carrier->connect(endpoint_.address.path);
  // Only now: an absent plane costs no memory.
  if (greeted && hello_.staging_bytes > 0 && !take_staging()) {
    say_down(place_.device < 0 ? "no memory for the staging region"
                               : "no memory for the staging region, or the GPU's driver refused it");
    return false;
  }
  if (greeted) {
    std::array<int, 2> fds;
    size_t count = 0;
    if (staging_ && staging_->region()) fds[count++] = staging_->region()->fd();
    if (hello_.calibration_bytes > 0) fds[count++] = calibration_->bytes.fd();
    greeted = carrier->greet(hello_, std::span(fds).first(count), clock_.now_ns());
  }
  if (!greeted) say_down(carrier->reason());
  carrier_ = std::move(carrier);
  return greeted;
}

bool PlaneLink::greet_over_tls() {
  auto carrier = std::make_unique<TlsCarrier>(endpoint_, clock_, hello_, calibration_, [this] {
    return take_staging() ? staging_->region() : nullptr;
  });
  const bool connecting = carrier->connect(attempts_++);
  if (!connecting) say_down(carrier->reason());
  carrier_ = std::move(carrier);
  return connecting;
}

bool PlaneLink::take_staging() {
  auto staging = StagingMemory::take(place_, hello_.staging_bytes);
  if (!staging) return false;
  if (place_.on_gpu) {
    const auto handle = staging->handle();
    if (!handle) return false;
    hello_.device_staging = *handle;
  }
  staging_ = std::move(staging);
  return true;
}

bool PlaneLink::submit(const LinkRequest& request) {
  SS_CHECK(up(), "requests are sent over a link that is up");
  return carrier_->submit(request);
}

void PlaneLink::end_sleep() {
  if (!carrier_) return;
  carrier_->look_now();
  if (up()) carrier_->end_sleep();
}

uint64_t PlaneLink::next_step_ns() const { return carrier_ ? carrier_->next_step_ns() : retry_at_ns_; }

void PlaneLink::drop(std::string reason) {
  say_down(reason);
  if (state_ == State::kUp) {
    down_since_ns_ = clock_.now_ns();
    // A plane that falls right after every greeting must not cost a fresh staging region every 50 ms.
    if (down_since_ns_ - up_since_ns_ >= kBackoffMaxNs) backoff_ns_ = kBackoffMinNs;
  }
  retry_later();
}

void PlaneLink::retry_later() {
  close_all();
  state_ = State::kDown;
  retry_at_ns_ = clock_.now_ns() + backoff_ns_;
  backoff_ns_ = std::min(backoff_ns_ * 2, kBackoffMaxNs);
}

void PlaneLink::close_all() {
  carrier_ = nullptr;
  if (place_.on_gpu && staging_ != nullptr) retired_staging_ = staging_;
  staging_ = nullptr;
}

void PlaneLink::say_down(const std::string& reason) {
  if (absence_ != Absence::kNone) return;  // still the same one
  const uint64_t now = clock_.now_ns();
  const bool flaps = said_at_ns_ != 0 && now - said_at_ns_ < kQuietNs;
  absence_ = flaps ? Absence::kUnsaid : Absence::kSaid;
  if (flaps) return;
  said_at_ns_ = now;
  link_log().warn("no data plane at {} ({}): prompts are computed until it is there", endpoint_.text, reason);
}

void PlaneLink::say_up(uint32_t session) {
  // A plane that was there from the first try on is said as well, once.
  const bool worth_it = absence_ == Absence::kSaid || said_at_ns_ == 0;
  absence_ = Absence::kNone;
  if (worth_it) link_log().info("data plane at {} is there (session {})", endpoint_.text, session);
}

}  // namespace shadowserve
