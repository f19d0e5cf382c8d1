// UCX's stream calls, none of which waits. Nothing of a caller's memory is ever in flight.
#include "world/ucx/ucx_link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "contract/check.h"

namespace shadowserve {
namespace {

using Ticks = std::chrono::steady_clock;
constexpr auto kFarewell = std::chrono::milliseconds(100);

}  // namespace

UcxLink::UcxLink(std::shared_ptr<const UcxContext> context, size_t buffer_bytes)
    : context_(std::move(context)), calls_(context_->calls()) {
  for (Buffer& buffer : buffers_) buffer.bytes.resize(buffer_bytes);
}

std::unique_ptr<UcxLink> UcxLink::create(std::shared_ptr<const UcxContext> context, size_t buffer_bytes,
                                         int& why) {
  std::unique_ptr<UcxLink> link(new UcxLink(std::move(context), buffer_bytes));
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  ucs_status_t status = link->calls_.worker_create(link->context_->handle(), &params, &link->worker_);
  if (status == UCS_OK) status = link->calls_.worker_get_efd(link->worker_, &link->event_fd_);
  why = status == UCS_OK ? 0 : ucx_errno(status);
  return status == UCS_OK ? std::move(link) : nullptr;
}

std::vector<std::byte> UcxLink::address() const {
  ucp_address_t* lent = nullptr;
  size_t bytes = 0;
  if (calls_.worker_get_address(worker_, &lent, &bytes) != UCS_OK) return {};
  const auto* first = reinterpret_cast<const std::byte*>(lent);
  const std::vector<std::byte> copy(first, first + bytes);
  calls_.worker_release_address(worker_, lent);
  return copy;
}

int UcxLink::join(std::span<const std::byte> address) {
  ucp_ep_params_t params{};
  // Without a handler of errors a peer that died would be waited for without an end.
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler = {hear_failure, this};
  const ucs_status_t status = calls_.ep_create(worker_, &params, &endpoint_);
  return status == UCS_OK ? 0 : ucx_errno(status);
}

void UcxLink::keep(TcpStream& control, bool first) {
  control_first_ = first;
  control_fd_ = control.release();
  // A machine that vanished: noticed after 25 s. Who waits for an answer has deadlines of his own.
  constexpr std::array<std::pair<int, int>, 3> kOptions = {
      {{TCP_KEEPIDLE, 10}, {TCP_KEEPINTVL, 5}, {TCP_KEEPCNT, 3}}};
  for (const auto& [name, value] : kOptions)
    setsockopt(control_fd_, IPPROTO_TCP, name, &value, sizeof(value));
}

UcxLink::~UcxLink() { end(); }

void UcxLink::end() {
  if (worker_ == nullptr) return;
  if (held_ != nullptr) calls_.stream_release(endpoint_, std::exchange(held_, nullptr));
  if (endpoint_ != nullptr) {
    const auto deadline = Ticks::now() + kFarewell;
    const auto wait_for = [&](auto done) {
      while (!done() && Ticks::now() < deadline) {
        if (calls_.worker_progress(worker_) != 0) continue;
        pollfd entry{.fd = event_fd_, .events = POLLIN, .revents = 0};
        ::poll(&entry, 1, 1);
      }
    };
    wait_for([this] { return failure_ != 0 || !sending(); });
    if (control_fd_ >= 0) shutdown(control_fd_, SHUT_RDWR);  // tells the peer before UCX does
    while (fetch()) calls_.stream_release(endpoint_, std::exchange(held_, nullptr));  // as UCX wants it
    ucp_request_param_t params{};
    params.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    // Its other way of closing waits for the peer to close as well.
    params.flags = UCP_EP_CLOSE_FLAG_FORCE;
    void* closing = calls_.ep_close(endpoint_, &params);
    if (UCS_PTR_IS_PTR(closing)) {
      wait_for([&] { return calls_.request_status(closing) != UCS_INPROGRESS; });
      calls_.request_free(closing);
    }
    settle();
  }
  for (Buffer& buffer : buffers_) {
    if (buffer.request != nullptr) calls_.request_free(std::exchange(buffer.request, nullptr));
  }
  calls_.worker_destroy(std::exchange(worker_, nullptr));
  if (control_fd_ >= 0) close(std::exchange(control_fd_, -1));
}

void UcxLink::hear_failure(void* self, ucp_ep_h, ucs_status_t status) {
  auto* link = static_cast<UcxLink*>(self);
  if (link->failure_ == 0) link->failure_ = ucx_errno(status);
}

/// Takes the next fragment that UCX has, if any. No call into the kernel.
bool UcxLink::fetch() {
  if (endpoint_ == nullptr) return false;
  for (;;) {
    void* data = calls_.stream_receive(endpoint_, &held_bytes_);
    if (data == nullptr) return false;
    if (UCS_PTR_IS_ERR(data)) {
      if (failure_ == 0) failure_ = ucx_errno(UCS_PTR_STATUS(data));
      return false;
    }
    held_ = static_cast<std::byte*>(data);
    consumed_ = 0;
    if (held_bytes_ > 0) return true;
    calls_.stream_release(endpoint_, std::exchange(held_, nullptr));  // nobody of ours sends such a thing
  }
}

/// True when UCX had something to do.
bool UcxLink::progress() {
  if (control_first_) look_at_control();
  if (failure_ != 0) return false;
  if (calls_.worker_progress(worker_) != 0) return armed_ = false, true;
  if (!control_first_) look_at_control();
  return false;
}

std::span<const std::byte> UcxLink::peek() {
  // UCX is driven only when nothing that it received is left: so its pools need not grow, and a peer that
  // sends faster than it is read feels it.
  while (held_ == nullptr && !fetch()) {
    if (!progress() && !fetch()) return {};
    if (held_ != nullptr) break;
  }
  return {held_ + consumed_, held_bytes_ - consumed_};
}

void UcxLink::consume(size_t bytes) {
  SS_CHECK(held_ != nullptr && bytes <= held_bytes_ - consumed_, "peek() gave fewer");
  consumed_ += bytes;
  if (consumed_ < held_bytes_) return;
  calls_.stream_release(endpoint_, std::exchange(held_, nullptr));
}

/// Buffers whose sends have ended are free, oldest first.
void UcxLink::settle() {
  for (; busy_ > 0; oldest_ = (oldest_ + 1) % kBuffers, --busy_) {
    Buffer& buffer = buffers_[oldest_];
    if (buffer.request == nullptr) continue;
    const ucs_status_t status = calls_.request_status(buffer.request);
    if (status == UCS_INPROGRESS) return;
    if (status != UCS_OK && failure_ == 0) failure_ = ucx_errno(status);
    calls_.request_free(std::exchange(buffer.request, nullptr));
  }
}

std::span<std::byte> UcxLink::room() {
  settle();
  if (busy_ == kBuffers) drive();
  if (busy_ == kBuffers || failure_ != 0) return {};
  return buffers_[next_].bytes;
}

void UcxLink::send(size_t bytes) {
  SS_CHECK(busy_ < kBuffers && bytes > 0, "only what room() gave is sent");
  ucp_request_param_t params{};
  void* request = calls_.stream_send(endpoint_, buffers_[next_].bytes.data(), bytes, &params);
  if (UCS_PTR_IS_ERR(request)) {
    if (failure_ == 0) failure_ = ucx_errno(UCS_PTR_STATUS(request));
    return;
  }
  buffers_[next_].request = request;
  next_ = (next_ + 1) % kBuffers;
  ++busy_;
}

void UcxLink::drive() {
  if (held_ != nullptr || fetch()) return;
  progress();
  settle();
}

bool UcxLink::sending() {
  settle();
  return busy_ > 0;
}

/// Nobody says anything there any more: whatever comes is the end.
void UcxLink::look_at_control() {
  if (control_fd_ < 0 || failure_ != 0) return;
  std::byte byte{};
  const ssize_t got = recv(control_fd_, &byte, 1, MSG_DONTWAIT);
  if (got >= 0) {
    failure_ = ECONNRESET;
  } else if (errno != EAGAIN && errno != EINTR) {
    failure_ = errno;
  }
}

bool UcxLink::arm() {
  constexpr uint32_t kLooks = 64;  // a call into the kernel for each would cost more than the rest of a turn
  const bool thorough = ++looks_ % kLooks == 0;
  if (held_ != nullptr || fetch() || failure_ != 0) return false;
  // As long as nothing happens it stays armed.
  if (!armed_ || thorough) armed_ = calls_.worker_arm(worker_) == UCS_OK;
  return armed_;
}

}  // namespace shadowserve
