// Sends from slots, receives into slots, keeps deadlines.
#include "store/redis_client.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>

#include "contract/check.h"
#include "contract/limits.h"

namespace shadowserve {
namespace {

/// Per poll(), so that the other stages on this thread keep moving.
constexpr size_t kReceiveBytesMax = 1u << 20;
constexpr size_t kSendBytesMax = 1u << 20;
constexpr size_t kPartsMax = 128;

}  // namespace

RedisClient::RedisClient(std::shared_ptr<const RedisTarget> target, const Clock& clock, uint32_t depth)
    : clock_(clock),
      target_(target),
      dial_(std::move(target), wake_, reader_, clock),
      // Operations that ended at their deadline keep their place until the server's answer has been dropped.
      operations_(size_t{depth} * 2),
      done_(depth),
      depth_(depth) {
  wake_.wake_now();  // the first poll() connects: a stream may belong to the thread that does
}

RedisClient::Operation* RedisClient::reserve(Result<void>& result) {
  if (in_flight_ == depth_ || last_ - first_ == operations_.size()) {
    result = fail(Error::kNoCapacity);
    return nullptr;
  }
  Operation& operation = at(last_);
  operation.completed = operation.withdrawn = false;
  operation.into = {};
  operation.from = {};
  return &operation;
}

void RedisClient::submit(Operation& operation, uint64_t ticket, uint64_t deadline_ns) {
  SS_CHECK(operation.head_bytes > 0, "a command with one key fits its buffer");
  operation.ticket = ticket;
  operation.deadline_ns = deadline_ns;
  ++in_flight_;
  wake_.wake_now();
  if (operation.kind == Kind::kPut && operation.from.size() > kRecordBytesMax) {
    return complete(operation, Error::kNoCapacity);
  }
  if (!dial_.hopeful()) return complete(operation, dial_.error());
  ++last_;
  check_ns_ = std::min(check_ns_, deadline_ns);
}

Result<void> RedisClient::get(uint64_t ticket, const StoreKey& key, std::span<std::byte> into,
                              uint64_t deadline_ns) {
  Result<void> result;
  if (Operation* operation = reserve(result)) {
    operation->kind = Kind::kGet;
    operation->into = into;
    operation->head_bytes = static_cast<uint16_t>(write_resp_command(operation->head, {"GET", key.view()}));
    submit(*operation, ticket, deadline_ns);
  }
  return result;
}

Result<void> RedisClient::put(uint64_t ticket, const StoreKey& key, std::span<const std::byte> from,
                              uint64_t deadline_ns) {
  Result<void> result;
  if (Operation* operation = reserve(result)) {
    operation->kind = Kind::kPut;
    operation->from = from;
    operation->head_bytes =
        static_cast<uint16_t>(write_resp_command(operation->head, {"SET", key.view()}, true, from.size()));
    submit(*operation, ticket, deadline_ns);
  }
  return result;
}

Result<void> RedisClient::exists(uint64_t ticket, const StoreKey& key, uint64_t deadline_ns) {
  Result<void> result;
  if (Operation* operation = reserve(result)) {
    operation->kind = Kind::kExists;
    operation->head_bytes =
        static_cast<uint16_t>(write_resp_command(operation->head, {"EXISTS", key.view()}));
    submit(*operation, ticket, deadline_ns);
  }
  return result;
}

void RedisClient::complete(Operation& operation, Error error, size_t bytes) {
  if (operation.completed) return;
  operation.completed = true;
  done_[done_last_++ % depth_] = {.ticket = operation.ticket, .error = error, .bytes = bytes};
}

void RedisClient::fail_all(Error error) {
  for (; first_ != last_; ++first_) complete(at(first_), error);
  next_ = first_;
  sent_ = 0;
  check_ns_ = StoreWake::kNever;
  unread_ = false;
}

void RedisClient::drop(uint64_t now_ns, const char* reason, std::string_view detail) {
  dial_.drop(now_ns, reason, detail);
  fail_all(Error::kStoreDown);
}

void RedisClient::skip_withdrawn() {
  if (sent_ == 0) {
    while (next_ != last_ && at(next_).withdrawn) ++next_;
  }
  while (first_ != next_ && at(first_).withdrawn) ++first_;
}

void RedisClient::expire(uint64_t now_ns) {
  check_ns_ = StoreWake::kNever;
  bool cut_off = false;
  for (uint64_t position = first_; position != last_; ++position) {
    Operation& operation = at(position);
    if (operation.completed) continue;
    if (operation.deadline_ns > now_ns) {
      check_ns_ = std::min(check_ns_, operation.deadline_ns);
      continue;
    }
    const bool untouched = position > next_ || (position == next_ && sent_ == 0);
    if (untouched) {
      operation.withdrawn = true;
    } else if (position == next_ && operation.kind == Kind::kPut) {
      cut_off = true;  // the rest of the value can only come from memory that is now the caller's
    } else if (position == first_ && reader_.in_bulk()) {
      reader_.skip_bulk();  // what is still to come of this value is dropped as it arrives
    }
    complete(operation, Error::kDeadline);
  }
  if (cut_off) return drop(now_ns, "closed in the middle of a value whose deadline passed");
  skip_withdrawn();
  // Overdue answers are waited for as long as the server says anything at all.
  if ((first_ != next_ || sent_ > 0) && at(first_).completed) {
    const uint64_t gone_ns = heard_ns_ + target_->options.silence_ns_max;
    if (now_ns >= gone_ns) return drop(now_ns, "the server has stopped answering");
    check_ns_ = std::min(check_ns_, gone_ns);
  }
}

size_t RedisClient::gather(std::span<iovec> parts) const {
  size_t count = 0, bytes = 0, skip = sent_;
  const auto add = [&](const void* data, size_t size) {
    const size_t gone = std::min(skip, size);
    skip -= gone;
    if (gone == size || bytes >= kSendBytesMax) return;
    const size_t part = std::min(size - gone, kSendBytesMax - bytes);
    parts[count++] = {const_cast<char*>(static_cast<const char*>(data)) + gone, part};
    bytes += part;
  };
  for (uint64_t position = next_; position != last_ && count + 3 <= parts.size(); ++position) {
    const Operation& operation = operations_[position % operations_.size()];
    if (operation.withdrawn) continue;
    add(operation.head.data(), operation.head_bytes);
    if (operation.kind != Kind::kPut) continue;
    add(operation.from.data(), operation.from.size());
    add("\r\n", 2);
  }
  return count;
}

void RedisClient::advance(size_t bytes) {
  // A connection that was quiet because nothing was asked has not been silent.
  const bool was_quiet = first_ == next_;
  sent_ += bytes;
  while (next_ != last_) {
    const Operation& operation = at(next_);
    if (!operation.withdrawn) {
      if (sent_ < operation.bytes()) break;
      sent_ -= operation.bytes();
    }
    ++next_;
  }
  if (was_quiet && bytes > 0) heard_ns_ = clock_.now_ns();
  skip_withdrawn();
}

void RedisClient::send(uint64_t now_ns) {
  if (next_ == last_) return;
  size_t budget = kSendBytesMax;
  bool blocked = false;
  while (budget > 0 && !blocked) {
    std::array<iovec, kPartsMax> parts;
    const size_t count = gather(parts);
    if (count == 0) break;
    size_t wanted = 0;
    for (size_t i = 0; i < count; ++i) wanted += parts[i].iov_len;
    const Result<size_t> sent = dial_.stream().writev({parts.data(), count});
    if (!sent) return drop(now_ns, "connection lost", std::strerror(dial_.stream().why()));
    advance(*sent);
    budget -= std::min(budget, *sent);
    blocked = *sent < wanted;
  }
  dial_.want_output(next_ != last_);
}

bool RedisClient::answer(RespEvent event, uint64_t now_ns) {
  if (first_ == next_) return false;  // nobody asked
  Operation& operation = at(first_);
  switch (event) {
    case RespEvent::kBulk:
      if (operation.kind != Kind::kGet) return false;
      if (operation.completed || static_cast<size_t>(reader_.integer()) > operation.into.size()) {
        complete(operation, Error::kNoCapacity);
        reader_.skip_bulk();
      } else {
        reader_.take_bulk(operation.into.first(static_cast<size_t>(reader_.integer())));
      }
      return true;
    case RespEvent::kBulkEnd:
      complete(operation, Error::kNone, static_cast<size_t>(reader_.integer()));
      break;
    case RespEvent::kNil:
      if (operation.kind != Kind::kGet) return false;
      complete(operation, Error::kMiss);
      break;
    case RespEvent::kInteger:
      if (operation.kind != Kind::kExists) return false;
      complete(operation, reader_.integer() > 0 ? Error::kNone : Error::kMiss);
      break;
    case RespEvent::kSimple:
      if (operation.kind != Kind::kPut) return false;
      complete(operation, Error::kNone, operation.from.size());
      break;
    case RespEvent::kError: {
      uint64_t suppressed = 0;
      if (refusals_.pass(now_ns, suppressed)) {
        spdlog::warn("store {}: refused: {} ({} earlier lines like this held back)", dial_.name(),
                     reader_.text().substr(0, 160), suppressed);
      }
      complete(operation, Error::kStoreRefused);
      break;
    }
    case RespEvent::kMore:
    case RespEvent::kBroken:
      return false;
  }
  ++first_;
  skip_withdrawn();
  return true;
}

bool RedisClient::act_on_replies(uint64_t now_ns) {
  for (;;) {
    const RespEvent event = reader_.next();
    if (event == RespEvent::kMore) return true;
    if (!answer(event, now_ns)) {
      drop(now_ns, "an answer that fits no question; is this a RESP server?");
      return false;
    }
  }
}

void RedisClient::receive(uint64_t now_ns) {
  if (!act_on_replies(now_ns)) return;
  for (size_t budget = kReceiveBytesMax; budget > 0;) {
    std::array<iovec, 2> parts;
    const size_t count = reader_.targets(parts, budget);
    size_t wanted = 0;
    for (size_t i = 0; i < count; ++i) wanted += parts[i].iov_len;
    const Result<size_t> got = dial_.stream().readv({parts.data(), count});
    if (!got) {
      const int why = dial_.stream().why();
      return drop(now_ns, why == 0 ? "the server closed the connection" : "connection lost",
                  why == 0 ? "" : std::strerror(why));
    }
    if (*got == 0) break;
    heard_ns_ = now_ns;
    reader_.received(*got);
    if (!act_on_replies(now_ns)) return;
    if (*got < wanted) break;
    budget -= std::min(budget, *got);
  }
  unread_ = dial_.stream().has_input();
}

size_t RedisClient::poll(std::span<StoreDone> out) {
  const uint64_t now_ns = clock_.now_ns();
  const bool was_hopeful = dial_.hopeful();
  dial_.step(now_ns);
  if (was_hopeful && !dial_.hopeful()) fail_all(dial_.error());
  if (dial_.up()) send(now_ns);
  if (dial_.up()) {
    receive(now_ns);
  } else {
    unread_ = dial_.stream().has_input();  // of the greeting
  }
  if (now_ns >= check_ns_) expire(now_ns);

  size_t written = 0;
  for (; written < out.size() && done_first_ != done_last_; ++done_first_, --in_flight_) {
    out[written++] = done_[done_first_ % depth_];
  }
  const bool more = done_first_ != done_last_ || unread_;
  const uint64_t held_until_ns = dial_.hold_input();
  wake_.set_timer(now_ns, more ? now_ns : std::min({check_ns_, dial_.next_ns(), held_until_ns}));
  return written;
}

}  // namespace shadowserve
