// RESP2, the protocol of Redis and its relatives: commands out, replies in, on fixed buffers.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

namespace shadowserve {

/// Writes a command of these words to `out`; returns its size, 0 when it does not fit. With `bulk_follows`
/// one more word of `bulk_bytes` is announced, which the caller sends behind it, followed by "\r\n".
size_t write_resp_command(std::span<char> out, std::initializer_list<std::string_view> words,
                          bool bulk_follows = false, size_t bulk_bytes = 0);

enum class RespEvent : uint8_t {
  kMore,     ///< receive more, then ask again
  kSimple,   ///< +text
  kError,    ///< -text
  kInteger,  ///< :integer
  kNil,      ///< $-1 or *-1
  kBulk,     ///< $integer: call take_bulk() or skip_bulk() before next()
  kBulkEnd,  ///< all of it arrived
  kBroken,   ///< this is not RESP2 or over a limit; close the connection
};

/// Parses replies from a peer that may be hostile, as they arrive. The bytes of a bulk go straight to where
/// the caller wants them: targets() lists that place first and a small buffer behind it. Loop: while next()
/// gives events, act on them; at kMore read into targets() and report received().
class RespReader {
 public:
  static constexpr size_t kLineBytesMax = 1024;
  static constexpr size_t kBufferBytes = 4096;
  static constexpr int64_t kBulkBytesMax = 64 << 20;

  RespEvent next();
  /// Of the last kSimple or kError; valid until the next call.
  std::string_view text() const { return text_; }
  /// Of the last kInteger, kBulk or kBulkEnd.
  int64_t integer() const { return integer_; }

  /// After kBulk. `into` is as long as the bulk and is written to by next(), and by whoever reads into
  /// targets().
  void take_bulk(std::span<std::byte> into);
  /// After kBulk, or in the middle of one: from now on its bytes are dropped and nobody writes to `into`.
  void skip_bulk();
  bool in_bulk() const { return state_ != State::kLine; }

  /// Where to receive next, at most `bytes_max` in all (at least 1 is offered). Only after next() said kMore.
  size_t targets(std::span<iovec, 2> out, size_t bytes_max);
  /// `bytes` arrived at targets().
  void received(size_t bytes);
  /// Forgets everything: a new connection.
  void reset();

 private:
  enum class State : uint8_t { kLine, kBulkChoice, kBulk, kBulkTail, kBroken };
  RespEvent next_line();
  RespEvent broken();
  State state_ = State::kLine;
  std::byte* into_ = nullptr;  // null while skipping
  size_t left_ = 0;            // of the bulk
  int64_t integer_ = 0;
  std::string_view text_;
  size_t begin_ = 0, end_ = 0;  // unparsed bytes of the buffer
  std::array<char, kBufferBytes> buffer_;
};

}  // namespace shadowserve
