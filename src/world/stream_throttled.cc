// The bucket is one number, the time at which it would have been empty: what it holds is the time since, and
// taking moves that time forward. So filling it needs no work, and threads can share it.
#include "world/stream_throttled.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "contract/check.h"

namespace shadowserve {
namespace {

// A call to the kernel for a few bytes costs as much as one for many. What 100 us bring, within bounds.
constexpr uint64_t kQuantumNs = 100 * kNsPerUs;
constexpr uint64_t kQuantumBytesMin = 1'500;
constexpr uint64_t kQuantumBytesMax = 64u << 10;

}  // namespace

RateBucket::RateBucket(uint64_t bits_per_s) : bits_per_s_(bits_per_s) {
  SS_CHECK(bits_per_s > 0 && bits_per_s <= kRateMax, "rates are checked where they are read");
  const double bytes_per_ns = static_cast<double>(bits_per_s) / 8e9;
  ticks_per_byte_ = static_cast<double>(kTicksPerNs) / bytes_per_ns;
  burst_ticks_ = std::max(kBurstNs * kTicksPerNs, ticks(kBurstBytesMin));
  quantum_bytes_ = std::clamp(static_cast<uint64_t>(static_cast<double>(kQuantumNs) * bytes_per_ns),
                              kQuantumBytesMin, kQuantumBytesMax);
}

uint64_t RateBucket::ticks(size_t bytes) const {
  return static_cast<uint64_t>(std::llround(static_cast<double>(bytes) * ticks_per_byte_));
}

size_t RateBucket::take(size_t wanted, uint64_t now_ns) {
  const uint64_t now = now_ns * kTicksPerNs;
  uint64_t emptied = emptied_.load(std::memory_order_relaxed);
  for (;;) {
    const uint64_t from = std::max(emptied, now - std::min(now, burst_ticks_));
    // Threads read the clock before they come here: another one's "now" may be the later one.
    const auto held = from < now ? static_cast<size_t>(static_cast<double>(now - from) / ticks_per_byte_) : 0;
    if (held < std::min(wanted, quantum_bytes_)) return 0;
    const size_t taken = std::min(wanted, held);
    if (emptied_.compare_exchange_weak(emptied, from + ticks(taken), std::memory_order_relaxed)) return taken;
  }
}

uint64_t RateBucket::next_ns(size_t wanted) const {
  const uint64_t enough = ticks(std::min(wanted, quantum_bytes_));
  return (emptied_.load(std::memory_order_relaxed) + enough) / kTicksPerNs + 1;
}

Result<size_t> ThrottledStream::readv(std::span<const iovec> into) {
  size_t wanted = 0;
  for (const iovec& part : into) wanted += part.iov_len;
  const size_t allowed = bucket_->take(wanted, clock_.now_ns());
  if (allowed == 0) {
    held_until_ns_ = bucket_->next_ns(wanted);
    // Questions do not wait for the rate of answers.
    if (const auto flushed = inner_->flush(); !flushed) return fail(flushed.error());
    return size_t{0};
  }
  held_until_ns_ = 0;
  std::array<iovec, 64> shortened;
  size_t count = 0, room = allowed;
  for (const iovec& part : into) {
    if (count == shortened.size() || room == 0) break;
    shortened[count] = part;
    shortened[count].iov_len = std::min(part.iov_len, room);
    room -= shortened[count++].iov_len;
  }
  const Result<size_t> got = inner_->readv({shortened.data(), count});
  bucket_->give_back(allowed - got.value_or(0));
  return got;
}

void ThrottledStream::close() {
  held_until_ns_ = 0;
  inner_->close();
}

}  // namespace shadowserve
