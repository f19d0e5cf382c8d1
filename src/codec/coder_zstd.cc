// Zstandard over packed symbols: on nibbles its four-stream Huffman coder is what matters, matches are rare.
#include "codec/coder_zstd.h"

#define ZSTD_STATIC_LINKING_ONLY  // static contexts
#include <zstd.h>

#include <cstdint>
#include <vector>

#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr int kLevel = 1;

}  // namespace

struct ZstdCoder::State {
  // 64-bit words, because the library asks for 8-byte alignment.
  std::vector<uint64_t> encoder_memory{std::vector<uint64_t>(ZSTD_estimateCCtxSize(kLevel) / 8 + 1)};
  std::vector<uint64_t> decoder_memory{std::vector<uint64_t>(ZSTD_estimateDCtxSize() / 8 + 1)};
  ZSTD_CCtx* encoder = ZSTD_initStaticCCtx(encoder_memory.data(), encoder_memory.size() * 8);
  ZSTD_DCtx* decoder = ZSTD_initStaticDCtx(decoder_memory.data(), decoder_memory.size() * 8);
};

ZstdCoder::ZstdCoder() : state_(std::make_unique<State>()) {
  SS_CHECK(state_->encoder != nullptr && state_->decoder != nullptr,
           "the library's own estimate is enough memory");
}

ZstdCoder::~ZstdCoder() = default;  // static contexts live in their workspaces and are not freed

Result<size_t> ZstdCoder::encode(std::span<const std::byte> symbols, std::span<std::byte> coded) {
  const size_t size =
      ZSTD_compressCCtx(state_->encoder, coded.data(), coded.size(), symbols.data(), symbols.size(), kLevel);
  if (ZSTD_isError(size)) return fail(Error::kNoCapacity);
  return size;
}

Result<void> ZstdCoder::decode(std::span<const std::byte> coded, std::span<std::byte> symbols) {
  // The decoder would also take several frames in a row.
  if (ZSTD_findFrameCompressedSize(coded.data(), coded.size()) != coded.size()) {
    return fail(Error::kRecordMalformed);
  }
  const size_t size =
      ZSTD_decompressDCtx(state_->decoder, symbols.data(), symbols.size(), coded.data(), coded.size());
  if (ZSTD_isError(size) || size != symbols.size()) return fail(Error::kRecordMalformed);
  return {};
}

}  // namespace shadowserve
