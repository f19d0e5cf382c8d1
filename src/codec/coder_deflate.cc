// Deflate without matches: quantized KV has none worth finding, and Huffman codes alone decode fastest.
#include "codec/coder_deflate.h"

#include <isa-l/igzip_lib.h>
#include <zlib.h>

#include <cstring>

#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr int kRawDeflate = -15;  // negative: no zlib header, 32 KiB window
constexpr int kMemLevel = 9;      // 32 Ki symbols a block: fewer code tables

Bytef* mutable_bytes(const std::byte* bytes) {
  return reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes));  // both C interfaces lack const
}

}  // namespace

struct DeflateCoder::State {
  z_stream encoder{};
  inflate_state decoder;
};

DeflateCoder::DeflateCoder() : state_(std::make_unique<State>()) {
  const int status =
      deflateInit2(&state_->encoder, Z_BEST_SPEED, Z_DEFLATED, kRawDeflate, kMemLevel, Z_HUFFMAN_ONLY);
  SS_CHECK(status == Z_OK, "memory is there at start");
  isal_inflate_init(&state_->decoder);
}

DeflateCoder::~DeflateCoder() { deflateEnd(&state_->encoder); }

Result<size_t> DeflateCoder::encode(std::span<const std::byte> symbols, std::span<std::byte> coded) {
  z_stream& stream = state_->encoder;
  SS_CHECK(deflateReset(&stream) == Z_OK, "the stream was initialized");
  stream.next_in = mutable_bytes(symbols.data());
  stream.avail_in = static_cast<uInt>(symbols.size());
  stream.next_out = mutable_bytes(coded.data());
  stream.avail_out = static_cast<uInt>(coded.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) return fail(Error::kNoCapacity);
  return coded.size() - stream.avail_out;
}

Result<void> DeflateCoder::decode(std::span<const std::byte> coded, std::span<std::byte> symbols) {
  inflate_state& state = state_->decoder;
  isal_inflate_reset(&state);
  state.crc_flag = ISAL_DEFLATE;
  state.next_in = mutable_bytes(coded.data());
  state.avail_in = static_cast<uint32_t>(coded.size());
  state.next_out = mutable_bytes(symbols.data());
  state.avail_out = static_cast<uint32_t>(symbols.size());
  const int status = isal_inflate_stateless(&state);
  const bool complete = status == ISAL_DECOMP_OK && state.block_state == ISAL_BLOCK_FINISH &&
                        state.avail_in == 0 && state.avail_out == 0;
  if (!complete) return fail(Error::kRecordMalformed);
  return {};
}

}  // namespace shadowserve
