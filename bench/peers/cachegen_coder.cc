// Arithmetic coding with 32-bit bounds: leading bits that low and high share leave at once, straddling ones
// later.
#include "peers/cachegen_coder.h"

#include <bit>
#include <cstring>

namespace shadowserve::peers {
namespace {

constexpr uint32_t kTotalBits = 16;
constexpr uint32_t kTotal = 1u << kTotalBits;

class BitWriter {
 public:
  BitWriter(uint8_t* at, uint8_t* end) : at_(at), end_(end) {}
  void put(uint32_t bits, int count) {
    pool_ = pool_ << count | bits;
    filled_ += count;
    while (filled_ >= 8) put_byte(static_cast<uint8_t>(pool_ >> (filled_ -= 8)));
  }
  void put_run(uint32_t bit, uint32_t count) {
    for (; count >= 16; count -= 16) put(bit * 0xffff, 16);
    if (count > 0) put(bit * ((1u << count) - 1), static_cast<int>(count));
  }
  /// Ends on a byte. nullptr when there was not enough room.
  uint8_t* finish() {
    if (filled_ > 0) put_byte(static_cast<uint8_t>(pool_ << (8 - filled_)));
    return full_ ? nullptr : at_;
  }

 private:
  void put_byte(uint8_t byte) {
    if (at_ == end_) {
      full_ = true;
      return;
    }
    *at_++ = byte;
  }
  uint8_t* at_;
  uint8_t* end_;
  uint64_t pool_ = 0;
  int filled_ = 0;
  bool full_ = false;
};

/// Bits behind the end are zero.
class BitReader {
 public:
  BitReader(const uint8_t* at, const uint8_t* end) : at_(at), end_(end) {}
  uint32_t take(int count) {  // at most 32
    while (filled_ < count) {
      pool_ = pool_ << 8 | (at_ < end_ ? *at_++ : 0);
      filled_ += 8;
    }
    filled_ -= count;
    return static_cast<uint32_t>(pool_ >> filled_ & ((uint64_t{1} << count) - 1));
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
  uint64_t pool_ = 0;
  int filled_ = 0;
};

/// The interval that encoder and decoder narrow alike.
struct Interval {
  uint32_t low = 0, high = 0xffffffff;

  void narrow(uint32_t from, uint32_t to) {
    const uint64_t range = uint64_t{high} - low + 1;
    high = low + static_cast<uint32_t>((range * to >> kTotalBits) - 1);
    low += static_cast<uint32_t>(range * from >> kTotalBits);
  }
  /// Leading bits that both bounds share.
  int shared_bits() const { return std::countl_zero(low ^ high); }
  void drop_shared(int count) {
    low <<= count;
    high = high << count | ((1u << count) - 1);
  }
  /// After drop_shared(): bits behind the first where low is 01.. and high is 10..
  int straddling_bits() const { return std::min(std::countl_one(low << 1), std::countl_zero(high << 1)); }
  void drop_straddling(int count) {
    low = (low << count) & 0x7fffffff;
    high = (high << count) | 0x80000000 | ((1u << count) - 1);
  }
};

class StreamEncoder {
 public:
  StreamEncoder(uint8_t* at, uint8_t* end) : out_(at, end) {}
  void put(uint32_t from, uint32_t to) {
    bounds_.narrow(from, to);
    if (const int count = bounds_.shared_bits(); count > 0) {
      const uint32_t first = bounds_.low >> 31;
      out_.put(first, 1);
      out_.put_run(first ^ 1, pending_);
      pending_ = 0;
      if (count > 1) out_.put(bounds_.low << 1 >> (33 - count), count - 1);
      bounds_.drop_shared(count);
    }
    if (const int count = bounds_.straddling_bits(); count > 0) {
      pending_ += static_cast<uint32_t>(count);
      bounds_.drop_straddling(count);
    }
  }
  uint8_t* finish() {
    const uint32_t second_quarter = bounds_.low < 0x40000000 ? 0 : 1;
    out_.put(second_quarter, 1);
    out_.put_run(second_quarter ^ 1, pending_ + 1);
    return out_.finish();
  }

 private:
  BitWriter out_;
  Interval bounds_;
  uint32_t pending_ = 0;
};

class StreamDecoder {
 public:
  StreamDecoder(const uint8_t* at, const uint8_t* end) : in_(at, end), code_(in_.take(32)) {}
  /// Where in the distribution the next symbol lies.
  uint32_t position() const {
    const uint64_t range = uint64_t{bounds_.high} - bounds_.low + 1;
    return static_cast<uint32_t>(((uint64_t{code_ - bounds_.low} + 1) * kTotal - 1) / range);
  }
  void skip(uint32_t from, uint32_t to) {
    bounds_.narrow(from, to);
    if (const int count = bounds_.shared_bits(); count > 0) {
      bounds_.drop_shared(count);
      code_ = code_ << count | in_.take(count);
    }
    if (const int count = bounds_.straddling_bits(); count > 0) {
      bounds_.drop_straddling(count);
      code_ = (code_ & 0x80000000) | (code_ << count & 0x7fffffff) | in_.take(count);
    }
  }

 private:
  BitReader in_;
  Interval bounds_;
  uint32_t code_;
};

uint32_t end_of(const uint16_t* begins, uint32_t symbol, uint32_t levels) {
  return symbol + 1 < levels ? begins[symbol + 1] : kTotal;
}

}  // namespace

void CacheGenCoder::learn(std::span<const SymbolBlock> blocks) {
  std::map<uint32_t, std::vector<std::array<uint64_t, kLevelsMax>>> counts;
  for (const SymbolBlock& block : blocks) {
    auto& channels = counts[block.place.plane];
    channels.resize(block.place.channels);
    for (size_t i = 0; i < block.bytes.size(); ++i)
      ++channels[i % block.place.channels][block.bytes[i] % kLevelsMax];
  }
  for (const auto& [plane, channels] : counts) {
    std::vector<Distribution>& made = distributions_[plane];
    made.resize(channels.size());
    for (size_t channel = 0; channel < channels.size(); ++channel) {
      uint64_t total = 0, before = 0;
      for (const uint64_t count : channels[channel]) total += count;
      // Every symbol keeps at least one of the 65536, also those never seen.
      for (uint32_t symbol = 0; symbol < kLevelsMax; ++symbol) {
        made[channel][symbol] = static_cast<uint16_t>(symbol + before * (kTotal - kLevelsMax) / total);
        before += channels[channel][symbol];
      }
    }
  }
}

// A block is a 16-bit length a channel, then the streams.
size_t CacheGenCoder::encode(const SymbolBlock& block, std::span<uint8_t> coded) {
  const uint32_t channels = block.place.channels;
  const std::vector<Distribution>& tables = distributions_.at(block.place.plane);
  uint8_t* at = coded.data() + size_t{2} * channels;
  for (uint32_t channel = 0; channel < channels; ++channel) {
    const Distribution& begins = tables[channel];
    StreamEncoder stream(at, coded.data() + coded.size());
    for (size_t i = channel; i < block.bytes.size(); i += channels) {
      const uint32_t symbol = block.bytes[i];
      stream.put(begins[symbol], end_of(begins.data(), symbol, block.place.levels));
    }
    uint8_t* const end = stream.finish();
    if (end == nullptr || end - at > 0xffff) return 0;
    const auto length = static_cast<uint16_t>(end - at);
    std::memcpy(coded.data() + size_t{2} * channel, &length, sizeof length);
    at = end;
  }
  return static_cast<size_t>(at - coded.data());
}

bool CacheGenCoder::decode(std::span<const uint8_t> coded, const BlockPlace& place,
                           std::span<uint8_t> bytes) {
  const std::vector<Distribution>& tables = distributions_.at(place.plane);
  const uint8_t* at = coded.data() + size_t{2} * place.channels;
  for (uint32_t channel = 0; channel < place.channels; ++channel) {
    const Distribution& begins = tables[channel];
    uint16_t length = 0;
    std::memcpy(&length, coded.data() + size_t{2} * channel, sizeof length);
    StreamDecoder stream(at, at + length);
    for (size_t i = channel; i < bytes.size(); i += place.channels) {
      const uint32_t position = stream.position();
      // Counting the beginnings at or below the position needs no branch that depends on the data.
      uint32_t symbol = 0;
      for (uint32_t next = 1; next < place.levels; ++next) symbol += begins[next] <= position ? 1 : 0;
      stream.skip(begins[symbol], end_of(begins.data(), symbol, place.levels));
      bytes[i] = static_cast<uint8_t>(symbol);
    }
    at += length;
  }
  return true;
}

}  // namespace shadowserve::peers
