// Pumps. Where one side takes no more nothing is read from the other, so neither can fill this process.
#include "world/ucx/ucx_guest.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "world/ucx/ucx_frames.h"

namespace shadowserve {
namespace {

using Ticks = std::chrono::steady_clock;
constexpr size_t kBufferBytes = 256u << 10;
constexpr auto kJoinMax = std::chrono::seconds(5);  // longer than any client waits
constexpr auto kLinger = std::chrono::seconds(2);

}  // namespace

UcxGuest::UcxGuest(std::shared_ptr<const UcxContext> context, int fd, const UcxRelayOptions& options,
                   int quit_fd, UcxRelayTallies& tallies)
    : context_(std::move(context)), options_(options), quit_fd_(quit_fd), tallies_(tallies) {
  client_.adopt(fd);
  ++tallies_.open;
  thread_ = std::thread([this] {
    run();
    link_.reset();
    client_.close();
    store_.close();
    --tallies_.open;
    done_.store(true, std::memory_order_release);
  });
}

void UcxGuest::run() {
  if (begin() && greet()) return pump();
  ++tallies_.failed;
}

UcxPatience UcxGuest::patience() const {
  return {Ticks::now() + std::chrono::nanoseconds(options_.dial_ns_max), [this] {
            pollfd entry{.fd = quit_fd_, .events = POLLIN, .revents = 0};
            return ::poll(&entry, 1, 0) != 0;
          }};
}

/// False when the client is none of ours, or was told why there will be no connection.
bool UcxGuest::begin() {
  UcxIntroduction client;
  if (hear_introduction(client_, client, patience()) != 0 || client.why != 0) return false;
  UcxIntroduction own;
  own.why = dial();
  if (own.why == 0) link_ = UcxLink::create(context_, kBufferBytes, own.why);
  if (own.why == 0) own.address = link_->address();
  if (say_introduction(client_, own, patience()) != 0 || own.why != 0) return false;
  if (!await_client({Ticks::now() + kJoinMax, patience().given_up}) || link_->join(client.address) != 0)
    return false;
  link_->keep(client_, false);
  return true;
}

/// Until the client's endpoint stands; answers UCX's own questions meanwhile. Patience is the client's, for
/// it does not go before it is done, unless it dies.
bool UcxGuest::await_client(const UcxPatience& patient) {
  for (;;) {
    const Result<bool> joined = hear_joined(client_);
    if (!joined || *joined) return joined.has_value();
    if (patient.ended()) return false;
    link_->drive();
    if (!link_->arm()) continue;
    std::array<pollfd, 2> entries = {{{link_->event_fd(), POLLIN, 0}, {client_.fd(), POLLIN, 0}}};
    ::poll(entries.data(), entries.size(), 20);
  }
}

/// errno; 0: the store is there.
int UcxGuest::dial() {
  int why = ECONNREFUSED;
  for (const StreamAddress& address : options_.to) {
    why = store_.connect(address) ? await_ready(store_, patience()) : store_.why();
    if (why == 0) return 0;
    store_.close();
  }
  return why;
}

/// Sleeps until one side may have something. False: it is time to end.
bool UcxGuest::wait(short store_events, int milliseconds) {
  // With bytes that wait for the store, what else comes from the client waits as well.
  const bool hears_client = !blocked_;
  if (hears_client && !link_->arm()) return !quit_;
  std::array<pollfd, 4> entries = {{{quit_fd_, POLLIN, 0},
                                    {hears_client ? link_->event_fd() : -1, POLLIN, 0},
                                    {hears_client ? link_->control_fd() : -1, POLLIN, 0},
                                    {store_events != 0 ? store_.fd() : -1, store_events, 0}}};
  ::poll(entries.data(), entries.size(), milliseconds);
  quit_ = quit_ || entries[0].revents != 0;
  return !quit_;
}

/// Padding in pieces of several sizes, as the client sends its own.
bool UcxGuest::greet() {
  constexpr std::array<size_t, 4> kPieces = {16, 600, 5'000, kBufferBytes};
  const UcxPatience patient = patience();
  const auto header = ucx_frame_header(UcxFrameKind::kGreeting, kUcxWarmBytes);
  const size_t whole = header.size() + kUcxWarmBytes;
  for (size_t sent = 0, piece = 0; sent < whole; ++piece) {
    const std::span<std::byte> room = link_->room();
    if (room.empty()) {
      if (link_->failure() != 0 || patient.ended()) return false;
      drop_padding();
      wait(0, 20);
      continue;
    }
    const size_t bytes = std::min({piece < 30 ? kPieces[piece % 3] : kPieces[3], whole - sent, room.size()});
    std::memset(room.data(), 0, bytes);
    if (sent == 0) std::memcpy(room.data(), header.data(), header.size());
    link_->send(bytes);
    sent += bytes;
  }
  return drop_padding(), true;
}

/// Of what the client sent.
void UcxGuest::drop_padding() {
  while (padding_ > 0) {
    const size_t bytes = std::min(link_->peek().size(), padding_);
    if (bytes == 0) return;
    link_->consume(bytes);
    padding_ -= bytes;
  }
}

/// True when something moved.
bool UcxGuest::to_client() {
  if (store_ended_ >= 0) return false;
  const std::span<std::byte> room = link_->room();
  if (room.empty()) return false;
  const iovec part{room.data() + kUcxFrameHeaderBytes, room.size() - kUcxFrameHeaderBytes};
  const Result<size_t> got = store_.readv({&part, 1});
  if (!got) {
    store_ended_ = store_.why();
    return true;
  }
  if (*got == 0) return false;
  const auto header = ucx_frame_header(UcxFrameKind::kBytes, static_cast<uint32_t>(*got));
  std::memcpy(room.data(), header.data(), header.size());
  link_->send(header.size() + *got);
  tallies_.bytes_out += *got;
  return true;
}

bool UcxGuest::to_store() {
  drop_padding();
  const std::span<const std::byte> in = link_->peek();
  blocked_ = false;
  if (in.empty() || padding_ > 0) return false;
  const iovec part{const_cast<std::byte*>(in.data()), in.size()};
  const Result<size_t> sent = store_.writev({&part, 1});
  if (!sent) {  // why is found by the next read, behind whatever the store still said
    link_->consume(in.size());
    return true;
  }
  blocked_ = *sent < in.size();
  if (*sent == 0) return false;
  link_->consume(*sent);
  tallies_.bytes_in += *sent;
  return true;
}

void UcxGuest::pump() {
  while (store_ended_ < 0) {
    const bool outwards = to_client();
    const bool inwards = to_store();
    if (link_->failure() != 0 && link_->peek().empty()) return;
    if (outwards || inwards) continue;
    const bool room = !link_->room().empty();
    if (!wait(static_cast<short>((room ? POLLIN : 0) | (blocked_ ? POLLOUT : 0)), 1000)) return;
  }
  say_end(store_ended_);
  linger();
}

void UcxGuest::say_end(int why) {
  blocked_ = false;
  const auto deadline = Ticks::now() + kLinger;
  std::span<std::byte> room = link_->room();
  while (room.empty() && link_->failure() == 0 && Ticks::now() < deadline && wait(0, 50)) {
    if (!link_->peek().empty()) link_->consume(link_->peek().size());
    room = link_->room();
  }
  if (room.empty()) return;
  const auto header = ucx_frame_header(UcxFrameKind::kEnd, static_cast<uint32_t>(why));
  std::memcpy(room.data(), header.data(), header.size());
  link_->send(header.size());
}

/// Closing may overtake bytes that are on their way: the client closes first, if it does so soon.
void UcxGuest::linger() {
  blocked_ = false;
  const auto deadline = Ticks::now() + kLinger;
  while (link_->failure() == 0 && Ticks::now() < deadline) {
    if (const auto in = link_->peek(); !in.empty()) {
      link_->consume(in.size());
    } else if (!wait(0, 50)) {
      return;
    }
  }
}

}  // namespace shadowserve
