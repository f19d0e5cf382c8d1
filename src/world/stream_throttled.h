// A stream that receives no faster than a token bucket allows: a slower link than the machine has.
#pragma once

#include <atomic>
#include <memory>

#include "world/clock.h"
#include "world/stream.h"

namespace shadowserve {

/// What may be received, shared by all streams that one limit is for. Any thread; never blocks or allocates.
class RateBucket {
 public:
  /// Saved up at most: this, or what 2 ms bring. For so long a receiver may be off its core and still get the
  /// whole rate: on a real link the socket's buffer fills meanwhile.
  static constexpr uint64_t kBurstBytesMin = 256u << 10;
  static constexpr uint64_t kBurstNs = 2'000 * kNsPerUs;
  /// Bits a second: beyond it the arithmetic would not fit.
  static constexpr uint64_t kRateMax = 10'000'000'000'000;

  /// REQUIRES 0 < bits_per_s <= kRateMax. Full at first.
  explicit RateBucket(uint64_t bits_per_s);
  uint64_t bits_per_s() const { return bits_per_s_; }

  /// Takes up to `wanted` bytes out of the bucket and returns how many. 0 = not enough to be worth a call;
  /// then next_ns() says when there is.
  size_t take(size_t wanted, uint64_t now_ns);
  /// Puts bytes back that were taken and not used.
  void give_back(size_t bytes) { emptied_.fetch_sub(ticks(bytes), std::memory_order_relaxed); }
  uint64_t next_ns(size_t wanted) const;

 private:
  static constexpr uint64_t kTicksPerNs = 64;  // finer than any rate needs, and 9 years fit
  uint64_t ticks(size_t bytes) const;

  uint64_t bits_per_s_;
  double ticks_per_byte_;
  uint64_t burst_ticks_;
  size_t quantum_bytes_;              // less is not handed out, unless less is wanted
  std::atomic<uint64_t> emptied_{0};  // when the bucket was empty, had it only been filled since: in ticks
};

/// Wraps a stream. One thread, like any stream. Sending is not limited.
class ThrottledStream final : public Stream {
 public:
  ThrottledStream(std::unique_ptr<Stream> inner, std::shared_ptr<RateBucket> bucket, const Clock& clock)
      : inner_(std::move(inner)), bucket_(std::move(bucket)), clock_(clock) {}

  Result<void> connect(const StreamAddress& to) override { return inner_->connect(to); }
  Result<bool> ready() override { return inner_->ready(); }
  Result<size_t> readv(std::span<const iovec> into) override;
  Result<size_t> writev(std::span<const iovec> from) override { return inner_->writev(from); }
  Result<void> flush() override { return inner_->flush(); }
  void use_memory(std::span<std::byte> memory) override { inner_->use_memory(memory); }
  int fd() const override { return inner_->fd(); }
  bool wants_output() const override { return inner_->wants_output(); }
  bool has_input() const override { return inner_->has_input(); }
  uint64_t input_held_until_ns() const override { return held_until_ns_; }
  void close() override;
  int why() const override { return inner_->why(); }

 private:
  std::unique_ptr<Stream> inner_;
  std::shared_ptr<RateBucket> bucket_;
  const Clock& clock_;
  uint64_t held_until_ns_ = 0;
};

}  // namespace shadowserve
