// Requests in order, answers as they come.
#include "bench/plane_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cstring>

#include "bench/stage_rig.h"
#include "command.h"

namespace shadowserve {
namespace {

constexpr uint64_t kPatienceNs = 20'000 * kNsPerMs;

}  // namespace

PlaneClient::PlaneClient(Session& session, Doorbell& plane, const SharedRegion& staging, uint32_t window)
    : session_(session),
      plane_(plane),
      staging_(staging.span()),
      window_(std::min(window, kRingEntries / 2)),
      requests_(RequestRing::attach(session.rings().data(), kRingEntries)),
      replies_(ReplyRing::attach(session.rings().data() + session.replies_offset(), kRingEntries)) {
  const KvGeometry& geometry = session.geometry();
  stride_ = (part_shape(geometry, 0).value_bytes() + 63) / 64 * 64;
  places_ = staging_.size() / stride_;
  // The last chunk's parts lie in staging memory until they have been compared.
  if (places_ < window_ + geometry.parts()) {
    throw StartError(
        fmt::format("{} parts of {} KiB do not fit the bench's staging memory: try a smaller --shape",
                    window_ + geometry.parts(), stride_ >> 10));
  }
  // A place never gets the same part twice in a row, so that what was there before cannot pass for it.
  if (places_ % geometry.parts() == 0) --places_;
  taken_.assign(places_, false);
}

std::span<std::byte> PlaneClient::place_of(uint64_t number, size_t bytes) const {
  return staging_.subspan(number % places_ * stride_, bytes);
}

void PlaneClient::ask(LinkOp op, const BenchInput& input, uint64_t number) {
  const auto index = static_cast<uint32_t>(number % input.parts());
  LinkRequest request;
  request.ticket = number;
  request.op = op;
  request.part = input.part(index).part;
  request.key = bench_key(session_.profile(), index / input.geometry().parts());
  request.set_chunk_index(input.chunk_of(index));
  request.staging_offset = number % places_ * stride_;
  request.deadline_ns = clock_.now_ns() + kPatienceNs;
  if (!requests_.push(request)) throw StartError("the plane takes no more requests: this is a bug");
  if (requests_.must_ring()) plane_.ring();
}

bool PlaneClient::answer(LinkReply& reply) {
  if (!replies_.pop(reply)) {
    if (replies_.prepare_sleep()) {
      pollfd bell{.fd = session_.client_doorbell(), .events = POLLIN, .revents = 0};
      if (::poll(&bell, 1, 100) > 0) {
        uint64_t count = 0;
        [[maybe_unused]] const auto got = read(bell.fd, &count, sizeof count);
      }
    }
    replies_.end_sleep();
    if (!replies_.pop(reply)) return false;
  }
  const auto error = static_cast<Error>(reply.error);
  if (error != Error::kNone) {
    throw StartError(fmt::format("the data plane could not {} a part: {}",
                                 reply.op == LinkOp::kSave ? "save" : "fetch", error_sentence(error)));
  }
  return true;
}

void PlaneClient::save(const BenchInput& input) {
  uint32_t asked = 0;
  LinkReply reply;
  for (uint32_t answered = 0; answered < input.parts();) {
    for (; asked < input.parts() && asked < answered + window_ && !taken_[asked % places_]; ++asked) {
      const auto values = input.values(asked);
      std::memcpy(place_of(asked, values.size()).data(), values.data(), values.size());
      taken_[asked % places_] = true;
      ask(LinkOp::kSave, input, asked);
    }
    if (!answer(reply)) continue;
    taken_[reply.ticket % places_] = false;
    ++answered;
  }
}

void PlaneClient::fill_window(const BenchInput& input) {
  const uint32_t parts = input.geometry().parts();
  for (; asked_ < answered_ + window_ && !taken_[asked_ % places_]; ++asked_) {
    taken_[asked_ % places_] = true;
    if (asked_ % parts == 0) open_[asked_ / parts] = {clock_.now_ns(), parts};
    ask(LinkOp::kFetch, input, asked_);
  }
}

FetchTally PlaneClient::fetch(const BenchInput& input, double warm_s, double seconds,
                              const std::function<void()>& begin, const std::function<void()>& end,
                              const std::function<void(uint32_t, std::span<const std::byte>)>& came) {
  const uint32_t parts = input.geometry().parts();
  const auto part_came = [&](uint64_t number) {
    const auto index = static_cast<uint32_t>(number % input.parts());
    came(index, place_of(number, input.part(index).value_bytes()));
  };
  std::memset(staging_.data(), 0xff, staging_.size());
  FetchTally tally;
  const uint64_t started_ns = clock_.now_ns();
  const auto in = [&](double s) { return started_ns + static_cast<uint64_t>(s * 1e9); };
  uint64_t now_ns = started_ns, first_left = parts;
  LinkReply reply;
  // Until the first chunk was compared nothing counts, and in the end no part is asked for that will not be.
  for (bool measuring = false; !measuring || now_ns < in(warm_s + seconds);) {
    fill_window(input);
    const bool some = answer(reply);
    now_ns = clock_.now_ns();
    if (now_ns > in(warm_s + seconds) + kPatienceNs) throw StartError("the data plane does not answer");
    if (!some) continue;
    ++answered_;
    taken_[reply.ticket % places_] = false;
    OpenChunk& chunk = open_[reply.ticket / parts];
    if (reply.ticket < parts) part_came(reply.ticket), --first_left;
    if (measuring) {
      tally.value_bytes += reply.value_bytes;
      tally.wire_bytes += reply.wire_bytes;
      tally.end_ns = now_ns;
      if (chunk.left == 1) {
        tally.chunk_ms.push_back(static_cast<double>(now_ns - chunk.begun_ns) * 1e-6);
      }
    } else if (now_ns >= in(warm_s) && first_left == 0) {
      measuring = true;
      // Comparing may have taken longer than warming up was to last.
      if (now_ns > in(warm_s)) warm_s = static_cast<double>(now_ns - started_ns) * 1e-9;
      begin();
      tally.begin_ns = tally.end_ns = clock_.now_ns();
    }
    if (--chunk.left == 0) open_.erase(reply.ticket / parts);
  }
  end();
  while (answered_ < asked_) {
    if (!answer(reply)) {
      if (clock_.now_ns() > now_ns + kPatienceNs) throw StartError("the data plane does not answer");
      continue;
    }
    ++answered_;
    taken_[reply.ticket % places_] = false;
  }
  for (uint64_t number = asked_ - std::min<uint64_t>(asked_, parts); number < asked_; ++number)
    part_came(number);
  return tally;
}

}  // namespace shadowserve
