// Deflate without matches: quantized KV has none worth finding, and Huffman codes alone decode fastest.
#include "codec/coder_deflate.h"

#include <isa-l/igzip_lib.h>

#include "codec/deflate/deflate_writer.h"

namespace shadowserve {
namespace {

uint8_t* mutable_bytes(const std::byte* bytes) {
  return reinterpret_cast<uint8_t*>(const_cast<std::byte*>(bytes));  // the C interface lacks const
}

}  // namespace

struct DeflateCoder::State {
  DeflateWriter writer;
  inflate_state decoder;
};

DeflateCoder::DeflateCoder() : state_(std::make_unique<State>()) { isal_inflate_init(&state_->decoder); }

DeflateCoder::~DeflateCoder() = default;

Result<size_t> DeflateCoder::encode(std::span<const std::byte> symbols, std::span<std::byte> coded) {
  return state_->writer.write(symbols, coded);
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
