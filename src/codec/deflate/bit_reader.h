// Reads a Deflate stream bit by bit anywhere in it, its end included: what lies beyond reads as zeros.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace shadowserve {

static_assert(std::endian::native == std::endian::little, "words are read as they lie in memory");

/// Least significant bit first. Nothing outside the bytes is read; overrun() tells whether more was taken
/// than there is.
class BitReader {
 public:
  BitReader() = default;
  explicit BitReader(std::span<const std::byte> bytes)
      : bytes_(reinterpret_cast<const uint8_t*>(bytes.data())), size_(bytes.size()) {}

  /// The next 57 bits or more.
  uint64_t peek() const {
    const size_t byte = position_ / 8;
    uint64_t word = 0;
    if (byte + sizeof word <= size_) {
      std::memcpy(&word, bytes_ + byte, sizeof word);
    } else if (byte < size_) {
      std::memcpy(&word, bytes_ + byte, size_ - byte);
    }
    return word >> position_ % 8;
  }
  void skip(uint32_t bits) { position_ += bits; }
  uint32_t take(uint32_t bits) {
    const auto value = static_cast<uint32_t>(peek() & ((uint64_t{1} << bits) - 1));
    skip(bits);
    return value;
  }

  size_t position() const { return position_; }
  void set_position(size_t bits) { position_ = bits; }
  bool overrun() const { return position_ > size_ * 8; }
  /// True when all that is left is padding to the end of the last byte.
  bool at_end() const { return !overrun() && size_ * 8 - position_ < 8; }
  const uint8_t* bytes() const { return bytes_; }
  size_t size() const { return size_; }

 private:
  const uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
  size_t position_ = 0;
};

}  // namespace shadowserve
