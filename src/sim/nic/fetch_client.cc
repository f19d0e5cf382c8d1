// Requests in order, answers as they come.
#include "sim/nic/fetch_client.h"

#include <unistd.h>

#include <algorithm>

namespace shadowserve::nic {
namespace {

constexpr uint32_t kPlacesUnseen = 8;

}  // namespace

FetchClient::FetchClient(const RecordSet& records, const FetchPlan& plan, uint32_t window)
    : records_(records),
      plan_(plan),
      window_(window),
      // Where nobody looks at the values parts may share places: taking memory is what simulations spend most
      // of their time with.
      places_(plan.came ? window : std::min(window, kPlacesUnseen)),
      answers_(plan.parts + window) {
  outcome.ended.resize(kErrorCount);
  stride_ = (part_shape(records.geometry, 0).value_bytes() + 63) / 64 * 64;
}

Result<void> FetchClient::attach(Session& session, std::string& message) {
  auto staging = SharedRegion::create("shadowserve-sim-staging", stride_ * places_);
  if (!staging) return fail(staging.error());
  staging_ = std::move(*staging);
  LinkHello hello;
  hello.geometry = LinkGeometry::of(records_.geometry);
  records_.profile.name().copy(hello.profile, sizeof hello.profile - 1);
  hello.staging_bytes = staging_.size();
  const auto opened = session.open(hello, dup(staging_.fd()), kRingEntries, message, records_.model);
  if (!opened) return opened;
  requests_ = RequestRing::attach(session.rings().data(), kRingEntries);
  replies_ = ReplyRing::attach(session.rings().data() + session.replies_offset(), kRingEntries);
  return {};
}

bool FetchClient::pump(uint64_t now_ns) {
  LinkReply reply;
  while (replies_.pop(reply)) take(reply, now_ns);
  bool asked = false;
  for (; outcome.asked < outcome.answered + window_ && outcome.asked < answers_.size(); asked = true) {
    ask(outcome.asked++, now_ns);
  }
  return asked;
}

void FetchClient::ask(uint64_t number, uint64_t now_ns) {
  LinkRequest request;
  request.ticket = number;
  request.op = LinkOp::kFetch;
  request.part = static_cast<uint32_t>(number % records_.geometry.parts());
  request.key = records_.key;
  request.staging_offset = number % places_ * stride_;
  request.deadline_ns = now_ns + static_cast<uint64_t>(plan_.patience_ms * 1e6);
  answers_[number].asked_ns = now_ns;
  SS_CHECK(requests_.push(request), "the window is smaller than the ring");
}

void FetchClient::take(const LinkReply& reply, uint64_t now_ns) {
  Answer& answer = answers_[reply.ticket];
  if (++answer.count > 1) ++outcome.answered_twice;
  ++outcome.answered;
  ++outcome.ended[reply.error];
  outcome.value_bytes += reply.value_bytes;
  if (reply.error == 0) outcome.wire_bytes += reply.wire_bytes;
  const auto now = static_cast<double>(now_ns);
  last_ns = now;
  const double ms = static_cast<double>(now_ns - answer.asked_ns) * 1e-6;
  if (outcome.answered == 1) outcome.first_part_ms = ms;
  if (outcome.answered == plan_.warm_parts || (outcome.answered == 1 && plan_.warm_parts == 0)) {
    measured_from_ns = now;
  } else if (outcome.answered > plan_.warm_parts && outcome.answered <= plan_.parts) {
    measured_to_ns = now;
    measured_values += static_cast<double>(reply.value_bytes);
    measured_wire += static_cast<double>(reply.wire_bytes);
    part_ms.push_back(ms);
  }
  if (plan_.came && reply.error == 0) {
    plan_.came(reply.ticket, staging_.span().subspan(reply.ticket % places_ * stride_, reply.value_bytes));
  }
}

}  // namespace shadowserve::nic
