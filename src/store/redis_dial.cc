// The life of a connection.
#include "store/redis_dial.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace shadowserve {
namespace {

constexpr uint64_t kBackoffNsMin = 50 * kNsPerMs;
constexpr uint64_t kBackoffNsMax = 2'000 * kNsPerMs;
constexpr uint64_t kLogPauseNs = 5'000 * kNsPerMs;

}  // namespace

bool LogGate::pass(uint64_t now_ns, uint64_t& suppressed) {
  if (now_ns < next_ns_) {
    ++held_;
    return false;
  }
  suppressed = held_;
  held_ = 0;
  next_ns_ = now_ns + kLogPauseNs;
  return true;
}

RedisDial::RedisDial(std::shared_ptr<const RedisTarget> target, StoreWake& wake, RespReader& reader,
                     const Clock& clock)
    : target_(std::move(target)), wake_(wake), reader_(reader) {
  const auto& make = target_->options.make_stream;
  stream_ = make ? make() : std::make_unique<TcpStream>();
  if (const auto& bucket = target_->options.bucket) {
    stream_ = std::make_unique<ThrottledStream>(std::move(stream_), bucket, clock);
  }
}

void RedisDial::drop(uint64_t now_ns, const char* reason, std::string_view detail) {
  uint64_t suppressed = 0;
  if (gate_.pass(now_ns, suppressed)) {
    told_down_ = true;
    spdlog::warn("store {}: {}{}{}; trying again ({} earlier lines like this held back)", target_->name,
                 reason, detail.empty() ? "" : ": ", detail, suppressed);
  }
  stream_->close();
  reader_.reset();
  output_asked_ = output_wanted_ = input_held_ = false;
  if (state_ == State::kUp) {  // it was good: the same address again, soon
    error_ = Error::kStoreDown;
    backoff_ns_ = kBackoffNsMin;
  } else if (address_ = (address_ + 1) % target_->addresses.size(); address_ != 0) {
    state_ = State::kDown;  // a name with several addresses: the others at once, they are one attempt
    next_ns_ = now_ns;
    return;
  } else {  // failures one after the other wait longer and longer
    backoff_ns_ = std::clamp(backoff_ns_ * 2, kBackoffNsMin, kBackoffNsMax);
  }
  state_ = State::kDown;
  first_attempt_ = false;
  next_ns_ = now_ns + backoff_ns_;
}

void RedisDial::watch_for(bool input, bool output) {
  if ((input != input_held_ && output == output_wanted_) || stream_->fd() < 0) return;
  input_held_ = !input;
  output_wanted_ = output;
  wake_.change(stream_->fd(), input, output);
}

void RedisDial::want_output(bool wanted) {
  output_asked_ = wanted;
  watch_for(!input_held_, wanted || stream_->wants_output());
}

uint64_t RedisDial::hold_input() {
  const uint64_t until_ns = stream_->input_held_until_ns();
  watch_for(until_ns == 0, output_asked_ || stream_->wants_output());
  return until_ns == 0 ? StoreWake::kNever : until_ns;
}

void RedisDial::connect(uint64_t now_ns) {
  state_ = State::kConnecting;
  next_ns_ = now_ns + target_->options.connect_ns_max;
  greeting_sent_ = 0;
  greeting_left_ = target_->greeting_replies;
  if (!stream_->connect(target_->addresses[address_])) {
    error_ = Error::kStoreDown;
    return drop(now_ns, "cannot connect", std::strerror(stream_->why()));
  }
  output_asked_ = output_wanted_ = true;
  wake_.watch(stream_->fd(), true);
}

void RedisDial::greet(uint64_t now_ns) {
  const std::string& greeting = target_->greeting;
  if (greeting_sent_ < greeting.size()) {
    const iovec rest{const_cast<char*>(greeting.data()) + greeting_sent_, greeting.size() - greeting_sent_};
    const Result<size_t> sent = stream_->writev({&rest, 1});
    if (!sent) return drop(now_ns, "connection lost", std::strerror(stream_->why()));
    greeting_sent_ += *sent;
    want_output(greeting_sent_ < greeting.size());
  }
  for (;;) {
    const RespEvent event = reader_.next();
    if (event == RespEvent::kMore) {
      std::array<iovec, 2> parts;
      const size_t count = reader_.targets(parts, SIZE_MAX);
      const Result<size_t> got = stream_->readv({parts.data(), count});
      if (!got) return drop(now_ns, "connection lost", std::strerror(stream_->why()));
      if (*got == 0) return;
      reader_.received(*got);
    } else if (event == RespEvent::kSimple && greeting_left_ > 0) {
      if (--greeting_left_ > 0) continue;
      state_ = State::kUp;
      first_attempt_ = false;
      backoff_ns_ = 0;
      if (told_down_) spdlog::info("store {}: connected again", target_->name);
      told_down_ = false;
      return;
    } else if (event == RespEvent::kError) {
      // -LOADING passes by itself; anything else (NOAUTH, WRONGPASS, NOPERM, a wrong database) needs a
      // person.
      error_ = reader_.text().starts_with("LOADING") ? Error::kStoreDown : Error::kStoreRefused;
      backoff_ns_ = error_ == Error::kStoreRefused ? kBackoffNsMax : backoff_ns_;
      return drop(now_ns, "the server rejects this client", reader_.text());
    } else {
      error_ = Error::kStoreDown;
      return drop(now_ns, "the server does not speak RESP; is this the right port?");
    }
  }
}

void RedisDial::step(uint64_t now_ns) {
  if (state_ == State::kUp) return;
  if (state_ == State::kDown) {
    if (now_ns < next_ns_) return;
    connect(now_ns);
  }
  if (state_ == State::kConnecting) {
    const Result<bool> ready = stream_->ready();
    if (!ready) {
      error_ = Error::kStoreDown;
      return drop(now_ns, "cannot connect", std::strerror(stream_->why()));
    }
    if (*ready) state_ = State::kGreeting;
  }
  if (state_ == State::kGreeting) greet(now_ns);
  if ((state_ == State::kConnecting || state_ == State::kGreeting) && now_ns >= next_ns_) {
    error_ = Error::kStoreDown;
    drop(now_ns, "no answer to a new connection");
  }
}

}  // namespace shadowserve
