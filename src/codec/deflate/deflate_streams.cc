// Long runs of literals go through the kernel, the ends of blocks and buffers symbol by symbol with every
// check.
#include "codec/deflate/deflate_streams.h"

#include <algorithm>
#include <bit>

#include "contract/check.h"

namespace shadowserve {
namespace {

// Blocks of many symbols are worth their tables. More of them than a sane writer makes go to the general
// decoder.
constexpr uint32_t kBlocksMax = 64;

}  // namespace

void DeflateStreams::start(DeflateStream& stream) {
  SS_CHECK(!full(), "the caller asked whether there is a lane");
  const uint32_t lane = running_++;
  auto* const out = reinterpret_cast<uint8_t*>(stream.symbols.data());
  lanes_[lane] = {&stream, BitReader(stream.coded), out + stream.symbols.size(), false, kBlocksMax};
  cursors_[lane].out = out;
  stream.state = DeflateStream::State::kRunning;
  if (!start_block(lane)) retire(lane);
}

bool DeflateStreams::start_block(uint32_t lane) {
  Lane& it = lanes_[lane];
  if (it.blocks_left-- == 0 || !read_block_header(it.in, header_)) return false;
  it.last_block = header_.last;
  return build_literal_code(header_.lengths, tables_.codes[lane], tables_.literals[lane]);
}

void DeflateStreams::run(size_t symbols) {
  const uint32_t running_before = running_;
  for (size_t left = symbols; left != 0 && running_ == running_before;) {
    size_t passes = left / (running_ * kPassSymbols) + 1;
    for (uint32_t i = 0; i < running_; ++i) passes = std::min(passes, passes_of(i));
    if (passes != 0) {
      run_fast(passes);
      left -= std::min(left, passes * running_ * kPassSymbols);
    }
    // Downwards: a lane that retires is replaced by the last one, which has had its turn.
    for (uint32_t i = running_; i-- > 0;) {
      if (!walk_to_room(i)) retire(i);
    }
  }
}

/// How often the kernel may go round with this lane: 0 near the end of input or output.
size_t DeflateStreams::passes_of(uint32_t lane) const {
  const Lane& it = lanes_[lane];
  const size_t in_left = it.in.size() - std::min(it.in.size(), it.in.position() / 8);
  const auto out_left = static_cast<size_t>(it.out_end - cursors_[lane].out);
  if (in_left < kSpareInBytes) return 0;
  return std::min((in_left - kSpareInBytes) / kPassInBytes, out_left / kPassSymbols);
}

void DeflateStreams::run_fast(size_t passes) {
  for (uint32_t i = 0; i < running_; ++i) {
    const BitReader& in = lanes_[i].in;
    StreamCursor& cursor = cursors_[i];
    cursor.in = in.bytes() + in.position() / 8;
    // Nothing but the mark: the kernel begins by reading on, as after seven bits and whole bytes.
    cursor.bits = uint64_t{1} << (63 - in.position() % 8);
  }
  kernels_[running_ - 1](cursors_, tables_, passes);
  for (uint32_t i = 0; i < running_; ++i) {
    const StreamCursor& cursor = cursors_[i];
    const auto taken = static_cast<size_t>(std::countl_zero(cursor.bits));
    lanes_[i].in.set_position(static_cast<size_t>(cursor.in - lanes_[i].in.bytes()) * 8 + taken);
  }
}

/// Goes on with care until the kernel can. False when the stream has ended, well or badly.
bool DeflateStreams::walk_to_room(uint32_t lane) {
  Lane& it = lanes_[lane];
  uint8_t*& out = cursors_[lane].out;
  do {
    const DecodedSymbol next = decode_symbol(tables_.codes[lane], it.in.peek());
    if (passes_of(lane) != 0 && next.symbol < kEndOfBlock) return true;
    it.in.skip(next.bits);
    if (it.in.overrun()) return false;
    if (next.symbol < kEndOfBlock) {
      if (out == it.out_end) return false;
      *out++ = static_cast<uint8_t>(next.symbol);
    } else if (next.symbol != kEndOfBlock || !end_block(lane)) {
      return false;
    }
  } while (true);
}

/// False when that was the last block, or no other could begin.
bool DeflateStreams::end_block(uint32_t lane) {
  Lane& it = lanes_[lane];
  if (!it.last_block) return start_block(lane);
  if (it.in.at_end() && cursors_[lane].out == it.out_end) it.stream->state = DeflateStream::State::kDecoded;
  return false;
}

/// Frees a lane; the last one moves into its place.
void DeflateStreams::retire(uint32_t lane) {
  DeflateStream& stream = *lanes_[lane].stream;
  if (stream.state == DeflateStream::State::kRunning) stream.state = DeflateStream::State::kNotDecoded;
  const uint32_t last = --running_;
  if (lane == last) return;
  lanes_[lane] = lanes_[last];
  cursors_[lane] = cursors_[last];
  tables_.codes[lane] = tables_.codes[last];
  std::copy_n(tables_.literals[last], std::size(tables_.literals[last]), tables_.literals[lane]);
}

}  // namespace shadowserve
