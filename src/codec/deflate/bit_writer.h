// Writes a Deflate stream bit by bit into memory that is known to be large enough.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace shadowserve {

/// Least significant bit first. REQUIRES room for all bits that are put.
class BitWriter {
 public:
  explicit BitWriter(std::span<std::byte> out) : out_(out) {}
  /// At most 56 bits since the last flush().
  void put(uint64_t value, uint32_t bits) {
    pending_ |= value << pending_bits_;
    pending_bits_ += bits;
  }
  void flush() {
    const size_t bytes = pending_bits_ / 8;
    if (at_ + sizeof pending_ <= out_.size()) {
      std::memcpy(out_.data() + at_, &pending_, sizeof pending_);
    } else {
      std::memcpy(out_.data() + at_, &pending_, bytes);
    }
    at_ += bytes;
    pending_bits_ %= 8;
    pending_ >>= bytes * 8;
  }
  size_t finish() {
    pending_bits_ = (pending_bits_ + 7) / 8 * 8;
    flush();
    return at_;
  }

 private:
  std::span<std::byte> out_;
  size_t at_ = 0;
  uint64_t pending_ = 0;
  uint32_t pending_bits_ = 0;
};

}  // namespace shadowserve
