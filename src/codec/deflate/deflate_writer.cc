// Cuts symbols into blocks where a new code pays for its header, sizes everything, then writes.
#include "codec/deflate/deflate_writer.h"

#include <algorithm>

#include "codec/deflate/bit_writer.h"
#include "codec/deflate/code_lengths.h"
#include "codec/deflate/literal_table.h"
#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr uint8_t kDistanceBits = 1;
// A block's header and tables cost a decoder about as much as this share of a piece.
constexpr uint64_t kJoinGainDivisor = 64;
constexpr uint32_t kBlockHeadBits = 3 + 5 + 5 + 4;

struct Code {
  uint16_t reversed;  ///< Deflate sends a code's first bit first
  uint16_t bits;
};

template <size_t kSize>
void assign_codes(const uint8_t (&lengths)[kSize], Code (&codes)[kSize]) {
  uint32_t next = 0;
  for (uint32_t bits = 1; bits <= kCodeBitsMax; ++bits) {
    next <<= 1;
    for (size_t symbol = 0; symbol < kSize; ++symbol) {
      if (lengths[symbol] != bits) continue;
      uint32_t reversed = 0;
      for (uint32_t i = 0; i < bits; ++i) reversed |= (next >> i & 1) << (bits - 1 - i);
      codes[symbol] = {static_cast<uint16_t>(reversed), static_cast<uint16_t>(bits)};
      ++next;
    }
  }
}

void count_bytes(std::span<const std::byte> bytes, uint32_t (&counts)[kLiteralsMin]) {
  uint32_t lanes[4][256] = {};  // neighbours are often equal: in one table each would wait for the other
  size_t i = 0;
  for (; i + 4 <= bytes.size(); i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) ++lanes[lane][std::to_integer<uint8_t>(bytes[i + lane])];
  }
  for (; i < bytes.size(); ++i) ++lanes[0][std::to_integer<uint8_t>(bytes[i])];
  for (size_t s = 0; s < 256; ++s) counts[s] = lanes[0][s] + lanes[1][s] + lanes[2][s] + lanes[3][s];
  counts[kEndOfBlock] = 1;
}

void write_symbols(BitWriter& out, std::span<const std::byte> symbols, const Code (&codes)[kLiteralsMin]) {
  constexpr size_t kAtOnce = 4;
  static_assert(kAtOnce * kLiteralTableBits + 7 <= 56);
  size_t i = 0;
  for (; i + kAtOnce <= symbols.size(); i += kAtOnce) {
    for (size_t k = 0; k < kAtOnce; ++k) {
      const Code code = codes[std::to_integer<uint8_t>(symbols[i + k])];
      out.put(code.reversed, code.bits);
    }
    out.flush();
  }
  for (; i < symbols.size(); ++i) {
    const Code code = codes[std::to_integer<uint8_t>(symbols[i])];
    out.put(code.reversed, code.bits);
    out.flush();
  }
}

}  // namespace

/// The code lengths of a block as its header tells them: runs shortened. None goes on from the literals to
/// the distances, which not every reader understands.
void DeflateWriter::list_tokens(Block& block) {
  block.token_count = 0;
  const auto add = [&block](uint32_t symbol, uint32_t extra) {
    block.tokens[block.token_count++] = {static_cast<uint8_t>(symbol), static_cast<uint8_t>(extra)};
  };
  for (uint32_t at = 0; at < kLiteralsMin;) {
    const uint8_t length = block.lengths[at];
    uint32_t run = 1;
    while (at + run < kLiteralsMin && block.lengths[at + run] == length) ++run;
    at += run;
    if (length != 0) {
      add(length, 0);
      --run;
    }
    while (run >= 3) {
      const uint8_t symbol = length != 0 ? kRepeatLength : run < 11 ? kShortZeros : kLongZeros;
      const RunCode& code = kRunCodes[symbol - kRepeatLength];
      const uint32_t taken = std::min(run, code.least + (1u << code.extra_bits) - 1);
      add(symbol, taken - code.least);
      run -= taken;
    }
    for (; run > 0; --run) add(length, 0);
  }
  for (uint32_t i = 0; i < kDistances; ++i) add(kDistanceBits, 0);
}

/// From counts to everything else.
void DeflateWriter::measure(Block& block) {
  limited_code_lengths(block.counts, kLiteralTableBits, block.lengths);
  list_tokens(block);
  uint32_t uses[kLengthSymbols] = {};
  for (uint32_t i = 0; i < block.token_count; ++i) ++uses[block.tokens[i].symbol];
  limited_code_lengths(uses, kLengthCodeBitsMax, block.length_code);
  block.length_codes = kLengthSymbols;
  while (block.length_codes > kLengthCodesMin &&
         block.length_code[kLengthOrder[block.length_codes - 1]] == 0) {
    --block.length_codes;
  }
  block.bits = kBlockHeadBits + 3 * block.length_codes;
  for (uint32_t symbol = 0; symbol < kLengthSymbols; ++symbol) {
    const uint32_t extra = symbol < kRepeatLength ? 0 : kRunCodes[symbol - kRepeatLength].extra_bits;
    block.bits += uint64_t{uses[symbol]} * (block.length_code[symbol] + extra);
  }
  for (size_t i = 0; i < kLiteralsMin; ++i) block.bits += uint64_t{block.counts[i]} * block.lengths[i];
}

/// Fills blocks_ and returns how many. Each piece joins the block before unless a code of its own saves
/// enough.
size_t DeflateWriter::cut_blocks(std::span<const std::byte> symbols) {
  size_t count = 0;
  for (size_t at = 0; at < symbols.size() || count == 0; at += kPieceBytes) {
    const auto piece = symbols.subspan(at, std::min(kPieceBytes, symbols.size() - at));
    Block& alone = blocks_[count];
    alone.symbol_count = piece.size();
    count_bytes(piece, alone.counts);
    measure(alone);
    if (count != 0) {
      Block& before = blocks_[count - 1];
      Block& joint = blocks_[count + 1];
      joint.symbol_count = before.symbol_count + piece.size();
      for (size_t i = 0; i < kLiteralsMin; ++i) joint.counts[i] = before.counts[i] + alone.counts[i];
      joint.counts[kEndOfBlock] = 1;
      measure(joint);
      if (joint.bits <= before.bits + alone.bits + alone.bits / kJoinGainDivisor) {
        before = joint;
        continue;
      }
    }
    ++count;
  }
  return count;
}

void DeflateWriter::write_header(BitWriter& out, const Block& block, bool last) {
  out.put(last ? 1 : 0, 1);
  out.put(kDynamicBlock, 2);
  out.put(0, 5);  // literals and the end of the block, no lengths of matches
  out.put(kDistances - 1, 5);
  out.put(block.length_codes - kLengthCodesMin, 4);
  out.flush();
  for (uint32_t i = 0; i < block.length_codes; ++i) {
    out.put(block.length_code[kLengthOrder[i]], 3);
    out.flush();
  }
  Code codes[kLengthSymbols] = {};
  assign_codes(block.length_code, codes);
  for (uint32_t i = 0; i < block.token_count; ++i) {
    const LengthToken token = block.tokens[i];
    out.put(codes[token.symbol].reversed, codes[token.symbol].bits);
    if (token.symbol >= kRepeatLength)
      out.put(token.extra, kRunCodes[token.symbol - kRepeatLength].extra_bits);
    out.flush();
  }
}

Result<size_t> DeflateWriter::write(std::span<const std::byte> symbols, std::span<std::byte> coded) {
  SS_CHECK(symbols.size() <= kFrameBytesMax, "there are blocks for a frame");
  const size_t count = cut_blocks(symbols);
  uint64_t bits = 0;
  for (size_t i = 0; i < count; ++i) bits += blocks_[i].bits;
  if (bits > uint64_t{coded.size()} * 8) return fail(Error::kNoCapacity);
  BitWriter out(coded);
  for (size_t i = 0; i < count; ++i) {
    const Block& block = blocks_[i];
    write_header(out, block, i + 1 == count);
    Code codes[kLiteralsMin] = {};
    assign_codes(block.lengths, codes);
    write_symbols(out, symbols.first(block.symbol_count), codes);
    out.put(codes[kEndOfBlock].reversed, codes[kEndOfBlock].bits);
    out.flush();
    symbols = symbols.subspan(block.symbol_count);
  }
  return out.finish();
}

}  // namespace shadowserve
