// Opening a session from a peer's hello, answering it, and letting it go.
#include "plane/session.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "codec/codec.h"
#include "contract/check.h"

namespace shadowserve {
namespace {

std::string bounded_text(const char* text, size_t capacity) { return {text, strnlen(text, capacity)}; }

}  // namespace

Result<void> Session::open(const LinkHello& hello, int staging_fd, uint32_t ring_entries,
                           std::string& message, std::shared_ptr<const CalibratedModel> model) {
  SS_CHECK(state() == kFree, "only a free row is opened");
  auto taken = open_staging(hello, staging_fd, message);
  if (taken) taken = take_profile(hello, std::move(model), message);
  if (taken) taken = take_up(hello, ring_entries, message);
  if (!taken) let_go();
  return taken;
}

void Session::let_go() {
  profile_ = {};
  model_ = nullptr;
  host_staging_ = {};
  device_staging_ = {};
  device_ = -1;
  staging_ = nullptr;
  staging_bytes_ = 0;
}

Result<void> Session::open_staging(const LinkHello& hello, int staging_fd, std::string& message) {
  if (staging_fd >= 0) {
    auto mapped = SharedRegion::map(staging_fd, hello.staging_bytes);
    if (!mapped) {
      message = "the staging memory must be a memfd of the announced size, sealed against shrinking";
      return fail(mapped.error());
    }
    host_staging_ = std::move(*mapped);
    host_staging_.pin();
    staging_ = host_staging_.data();
    staging_bytes_ = host_staging_.size();
  } else if (hello.staging_kind == StagingKind::kDevice) {
    auto opened = DeviceMemory::open(hello.device_staging);
    if (!opened || opened->size() < hello.staging_bytes) {
      message = "the engine's GPU memory cannot be opened: both processes must see the same GPUs";
      return fail(opened ? Error::kConfig : opened.error());
    }
    device_staging_ = std::move(*opened);
    device_ = device_staging_.device();
    staging_ = device_staging_.data();
    staging_bytes_ = hello.staging_bytes;
  }
  return {};
}

Result<void> Session::take_profile(const LinkHello& hello, std::shared_ptr<const CalibratedModel> model,
                                   std::string& message) {
  const KvGeometry geometry = hello.geometry.geometry();
  if (!geometry.validate()) {
    message =
        "the KV geometry is out of range, or one plane of a chunk exceeds a record: use fewer chunk_tokens";
    return fail(Error::kConfig);
  }
  const std::string profile_name = bounded_text(hello.profile, sizeof(hello.profile));
  const auto profile = profile_from_name(profile_name);
  if (!profile) {
    message = "unknown codec profile '" + profile_name + "'";
    return fail(Error::kConfig);
  }
  if (!profile->suits(geometry)) {
    message = "profile '" + profile_name + "' cannot code this KV cache (" +
              std::string(element_name(geometry.element)) + (geometry.latent() ? ", latent" : "") +
              "): raw, raw+deflate and raw+zstd code any";
    return fail(Error::kConfig);
  }
  if (!scales_fit(*profile, geometry)) {
    message = "profile '" + profile_name + "' has no room for its scales in chunks of " +
              std::to_string(geometry.chunk_tokens) +
              " tokens of this KV cache: use more chunk_tokens, or raw";
    return fail(Error::kConfig);
  }
  // Who only looks up codes nothing.
  if (profile->calibrated() && staging_bytes_ > 0 && model == nullptr) {
    message = "profile '" + profile_name + "' needs a calibration of the engine's model, and none came";
    return fail(Error::kConfig);
  }
  const bool fits = model == nullptr || (profile->calibrated() && model->point() == profile_name &&
                                         model->geometry() == geometry);
  SS_CHECK(fits, "the model was made for this hello");
  geometry_ = geometry;
  profile_ = *profile;
  model_ = std::move(model);
  profile_.model = model_.get();
  return {};
}

Result<void> Session::take_up(const LinkHello& hello, uint32_t ring_entries, std::string& message) {
  if (hello.seal_kind != 1 && hello.seal_kind != 2) {
    message = "unknown seal kind";
    return fail(Error::kConfig);
  }
  auto rings = SharedRegion::create("shadowserve-rings",
                                    RequestRing::bytes(ring_entries) + ReplyRing::bytes(ring_entries));
  const int doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (!rings || doorbell < 0) {
    if (doorbell >= 0) ::close(doorbell);
    message = "no memory or descriptors left for the rings";
    return fail(Error::kSystem);
  }
  std::memcpy(seal_.data(), hello.seal_key, seal_.size());
  seal_kind_ = static_cast<SealKind>(hello.seal_kind);
  client_name_ = bounded_text(hello.client_name, sizeof(hello.client_name));
  rings_ = std::move(*rings);
  ring_entries_ = ring_entries;
  client_doorbell_ = doorbell;
  requests_ = RequestRing::create(rings_.data(), ring_entries);
  replies_ = ReplyRing::create(rings_.data() + replies_offset(), ring_entries);
  waiting_fetches_.clear();
  waiting_saves_.clear();
  in_flight_ = 0;
  state_.store(kActive, std::memory_order_release);
  return {};
}

Session::~Session() {
  if (client_doorbell_ >= 0) ::close(client_doorbell_);
}

void Session::leave() {
  State active = kActive;
  state_.compare_exchange_strong(active, kDraining, std::memory_order_acq_rel);
}

void Session::drained() {
  SS_CHECK(in_flight_ == 0, "staging memory is unmapped only when nobody can touch it");
  state_.store(kDrained, std::memory_order_release);
}

void Session::close() {
  SS_CHECK(state() == kDrained, "the data plane let go of it first");
  let_go();
  rings_ = SharedRegion();
  ::close(client_doorbell_);
  client_doorbell_ = -1;
  seal_.fill(std::byte{0});
  state_.store(kFree, std::memory_order_release);
}

bool Session::reply(const LinkReply& reply) {
  if (!replies_.push(reply)) return false;
  if (replies_.must_ring()) {
    const uint64_t one = 1;
    [[maybe_unused]] const auto written = write(client_doorbell_, &one, sizeof(one));
  }
  return true;
}

std::byte* Session::staging(uint64_t offset, size_t bytes) const {
  SS_CHECK(fits(offset, bytes), "requests are checked when they are admitted");
  return staging_ + offset;
}

}  // namespace shadowserve
