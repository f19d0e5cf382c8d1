// One pipelined connection's worth of operations: a ring in the order in which the server will answer.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "store/record_store.h"
#include "store/redis_dial.h"
#include "store/store_wake.h"
#include "wire/resp.h"

namespace shadowserve {

class RedisClient final : public RecordStore {
 public:
  RedisClient(std::shared_ptr<const RedisTarget> target, const Clock& clock, uint32_t depth);

  StoreTraits traits() const override { return {.kind = "redis", .shared = true, .survives_restart = true}; }
  Result<void> get(uint64_t ticket, const StoreKey& key, std::span<std::byte> into,
                   uint64_t deadline_ns) override;
  Result<void> put(uint64_t ticket, const StoreKey& key, std::span<const std::byte> from,
                   uint64_t deadline_ns) override;
  Result<void> exists(uint64_t ticket, const StoreKey& key, uint64_t deadline_ns) override;
  void use_memory(std::span<std::byte> memory) override { dial_.stream().use_memory(memory); }
  size_t poll(std::span<StoreDone> out) override;
  int wake_fd() const override { return wake_.fd(); }
  size_t in_flight() const override { return in_flight_; }

 private:
  enum class Kind : uint8_t { kGet, kPut, kExists };
  struct Operation {
    Kind kind = Kind::kGet;
    bool completed = false;  // told to the caller (or about to be): its memory is not touched any more
    bool withdrawn = false;  // and nothing of it was sent: no reply will come
    uint16_t head_bytes = 0;
    uint64_t ticket = 0;
    uint64_t deadline_ns = 0;
    std::span<std::byte> into;
    std::span<const std::byte> from;
    std::array<char, 152> head;  // the command up to the value
    size_t bytes() const { return head_bytes + (kind == Kind::kPut ? from.size() + 2 : 0); }
  };

  Operation& at(uint64_t position) { return operations_[position % operations_.size()]; }
  Operation* reserve(Result<void>& result);
  void submit(Operation& operation, uint64_t ticket, uint64_t deadline_ns);
  void complete(Operation& operation, Error error, size_t bytes = 0);
  void fail_all(Error error);
  void drop(uint64_t now_ns, const char* reason, std::string_view detail = {});
  void skip_withdrawn();
  void expire(uint64_t now_ns);
  void send(uint64_t now_ns);
  size_t gather(std::span<iovec> parts) const;
  void advance(size_t bytes);
  void receive(uint64_t now_ns);
  bool act_on_replies(uint64_t now_ns);
  bool answer(RespEvent event, uint64_t now_ns);

  const Clock& clock_;
  std::shared_ptr<const RedisTarget> target_;
  StoreWake wake_;
  RespReader reader_;
  RedisDial dial_;
  LogGate refusals_;

  // [first_, next_) wait for replies, [next_, last_) wait to be sent; sent_ bytes of next_ are out.
  std::vector<Operation> operations_;
  uint64_t first_ = 0, next_ = 0, last_ = 0;
  size_t sent_ = 0;
  uint64_t heard_ns_ = 0;                  // when bytes last came, or a quiet connection was first used
  uint64_t check_ns_ = StoreWake::kNever;  // no deadline lies before this
  bool unread_ = false;                    // replies in the reader's buffer were left for the next poll

  std::vector<StoreDone> done_;  // ring of `depth`
  uint64_t done_first_ = 0, done_last_ = 0;
  size_t depth_ = 0, in_flight_ = 0;
};

}  // namespace shadowserve
