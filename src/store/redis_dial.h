// Keeps one connection to a RESP server: connects, greets, and after a failure tries again with growing
// pauses.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/redis_store.h"
#include "store/store_wake.h"
#include "wire/resp.h"
#include "world/clock.h"
#include "world/stream_throttled.h"

namespace shadowserve {

/// What all clients of one server share; made once at start, never changed.
struct RedisTarget {
  RedisOptions options;
  std::vector<StreamAddress> addresses;
  std::string greeting;  ///< AUTH, SELECT, PING as far as needed
  uint32_t greeting_replies = 0;
  std::string name;  ///< redis://host:port/db, without the login
};

/// Lets one line through every few seconds, and counts the others.
class LogGate {
 public:
  /// True when a line may be written now; `suppressed` = lines held back since the last.
  bool pass(uint64_t now_ns, uint64_t& suppressed);

 private:
  uint64_t next_ns_ = 0;
  uint64_t held_ = 0;
};

class RedisDial {
 public:
  RedisDial(std::shared_ptr<const RedisTarget> target, StoreWake& wake, RespReader& reader,
            const Clock& clock);

  /// Moves towards a connection that has answered the greeting.
  void step(uint64_t now_ns);
  bool up() const { return state_ == State::kUp; }
  /// False when operations should fail now instead of waiting: an attempt has failed and none has succeeded
  /// since.
  bool hopeful() const { return up() || first_attempt_; }
  /// What operations fail with while not up.
  Error error() const { return error_; }
  /// Closes the connection and schedules the next attempt. `reason` is for the log.
  void drop(uint64_t now_ns, const char* reason, std::string_view detail = {});
  /// When step() wants to be called again at the latest.
  uint64_t next_ns() const { return state_ == State::kUp ? StoreWake::kNever : next_ns_; }
  Stream& stream() { return *stream_; }
  /// While up: whether epoll should report that output is possible.
  void want_output(bool wanted);
  /// After reading: epoll is told whether the stream holds input back, and whether it waits for output
  /// itself. Until when: call step() and read again then (kNever: it does not).
  uint64_t hold_input();
  const std::string& name() const { return target_->name; }

 private:
  enum class State : uint8_t { kDown, kConnecting, kGreeting, kUp };
  void connect(uint64_t now_ns);
  void greet(uint64_t now_ns);
  void watch_for(bool input, bool output);

  std::shared_ptr<const RedisTarget> target_;
  StoreWake& wake_;
  RespReader& reader_;
  std::unique_ptr<Stream> stream_;
  LogGate gate_;
  State state_ = State::kDown;
  Error error_ = Error::kStoreDown;
  bool first_attempt_ = true;
  bool output_asked_ = false;  // by whoever has something to send
  bool output_wanted_ = false;
  bool input_held_ = false;
  bool told_down_ = false;  // a log line says that there is no connection
  uint64_t next_ns_ = 0;    // kDown: of the next attempt; kConnecting, kGreeting: its deadline
  uint64_t backoff_ns_ = 0;
  size_t address_ = 0;
  size_t greeting_sent_ = 0;
  uint32_t greeting_left_ = 0;
};

}  // namespace shadowserve
