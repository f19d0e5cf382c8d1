// Incremental RESP2.
#include "wire/resp.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "contract/check.h"

namespace shadowserve {
namespace {

/// Appends to a fixed buffer and remembers when it was too small.
class Appender {
 public:
  explicit Appender(std::span<char> out) : out_(out) {}
  void text(std::string_view text) {
    fits_ = fits_ && text.size() <= out_.size() - size_;
    if (!fits_) return;
    std::memcpy(out_.data() + size_, text.data(), text.size());
    size_ += text.size();
  }
  void number(char type, size_t value) {
    std::array<char, 24> digits;
    const auto [end, code] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    text({&type, 1});
    text({digits.data(), static_cast<size_t>(end - digits.data())});
    text("\r\n");
  }
  size_t size() const { return fits_ ? size_ : 0; }

 private:
  std::span<char> out_;
  size_t size_ = 0;
  bool fits_ = true;
};

}  // namespace

size_t write_resp_command(std::span<char> out, std::initializer_list<std::string_view> words,
                          bool bulk_follows, size_t bulk_bytes) {
  Appender appender(out);
  appender.number('*', words.size() + (bulk_follows ? 1 : 0));
  for (const std::string_view word : words) {
    appender.number('$', word.size());
    appender.text(word);
    appender.text("\r\n");
  }
  if (bulk_follows) appender.number('$', bulk_bytes);
  return appender.size();
}

void RespReader::reset() {
  state_ = State::kLine;
  into_ = nullptr;
  left_ = begin_ = end_ = 0;
  text_ = {};
}

RespEvent RespReader::broken() {
  state_ = State::kBroken;
  into_ = nullptr;
  return RespEvent::kBroken;
}

RespEvent RespReader::next() {
  switch (state_) {
    case State::kLine:
      return next_line();
    case State::kBulkChoice:
      SS_CHECK(false, "a bulk is taken or skipped before the next event");
    case State::kBulk: {
      const size_t part = std::min(left_, end_ - begin_);
      if (into_ != nullptr && part > 0) {
        std::memcpy(into_, buffer_.data() + begin_, part);
        into_ += part;
      }
      begin_ += part;
      left_ -= part;
      if (left_ > 0) return RespEvent::kMore;
      into_ = nullptr;
      state_ = State::kBulkTail;
      [[fallthrough]];
    }
    case State::kBulkTail:
      if (end_ - begin_ < 2) return RespEvent::kMore;
      if (buffer_[begin_] != '\r' || buffer_[begin_ + 1] != '\n') return broken();
      begin_ += 2;
      state_ = State::kLine;
      return RespEvent::kBulkEnd;
    case State::kBroken:
      break;
  }
  return RespEvent::kBroken;
}

RespEvent RespReader::next_line() {
  const std::string_view unread(buffer_.data() + begin_, end_ - begin_);
  if (!unread.empty() && std::string_view("+-:$*").find(unread[0]) == std::string_view::npos) return broken();
  const size_t line_end = unread.substr(0, kLineBytesMax).find("\r\n");
  if (line_end == std::string_view::npos) {
    return unread.size() >= kLineBytesMax ? broken() : RespEvent::kMore;
  }
  const char type = unread[0];
  text_ = unread.substr(1, line_end - 1);
  begin_ += line_end + 2;
  if (type == '+') return RespEvent::kSimple;
  if (type == '-') return RespEvent::kError;
  const auto [end, code] = std::from_chars(text_.data(), text_.data() + text_.size(), integer_);
  if (code != std::errc() || end != text_.data() + text_.size()) return broken();
  if (type == ':') return RespEvent::kInteger;
  if (integer_ == -1) return RespEvent::kNil;
  // Nothing that is asked for answers with an array.
  if (type == '*' || integer_ < 0 || integer_ > kBulkBytesMax) return broken();
  left_ = static_cast<size_t>(integer_);
  state_ = State::kBulkChoice;
  return RespEvent::kBulk;
}

void RespReader::take_bulk(std::span<std::byte> into) {
  SS_CHECK(state_ == State::kBulkChoice && into.size() == left_, "a bulk was announced with this length");
  into_ = into.data();
  state_ = State::kBulk;
}

void RespReader::skip_bulk() {
  SS_CHECK(state_ != State::kLine, "there is a bulk to skip");
  into_ = nullptr;
  if (state_ == State::kBulkChoice) state_ = State::kBulk;
}

size_t RespReader::targets(std::span<iovec, 2> out, size_t bytes_max) {
  bytes_max = std::max<size_t>(bytes_max, 1);
  size_t count = 0;
  if (state_ == State::kBulk && into_ != nullptr && left_ > 0) {
    SS_CHECK(begin_ == end_, "what arrived was parsed before more is asked for");
    out[count++] = {into_, std::min(left_, bytes_max)};
    bytes_max -= out[0].iov_len;
    if (bytes_max == 0) return count;
  }
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (begin_ > 0) {  // the rest is less than a line: parsed bytes before it make room
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  SS_CHECK(end_ < buffer_.size(), "an unfinished line is shorter than the buffer");
  out[count++] = {buffer_.data() + end_, std::min(buffer_.size() - end_, bytes_max)};
  return count;
}

void RespReader::received(size_t bytes) {
  if (state_ == State::kBulk && into_ != nullptr) {
    const size_t direct = std::min(left_, bytes);
    into_ += direct;
    left_ -= direct;
    bytes -= direct;
  }
  end_ += bytes;
  SS_CHECK(end_ <= buffer_.size(), "no more arrives than targets() offered");
}

}  // namespace shadowserve
