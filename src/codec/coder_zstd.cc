// Zstandard over packed symbols: on nibbles its four-stream Huffman coder is what matters, matches are rare.
#include "codec/coder_zstd.h"

#define ZSTD_STATIC_LINKING_ONLY  // static contexts
#include <zstd.h>
#include <zstd_errors.h>

#include <cstdint>
#include <vector>

#include "contract/check.h"

namespace shadowserve {
namespace {

constexpr int kLevel = 1;
// Measured on KV caches of all profiles: short matches cost more than the literals they replace.
constexpr int kMinMatch = 7;
// Blocks are as long as the window: 64 KiB lets each byte plane of raw elements have its own Huffman table (a
// tenth of the size), and costs the other profiles nothing.
constexpr int kWindowLog = 16;

size_t encoder_bytes() {
  ZSTD_CCtx_params* const params = ZSTD_createCCtxParams();
  SS_CHECK(params != nullptr, "memory is there at start");
  ZSTD_CCtxParams_init(params, kLevel);
  ZSTD_CCtxParams_setParameter(params, ZSTD_c_minMatch, kMinMatch);
  ZSTD_CCtxParams_setParameter(params, ZSTD_c_windowLog, kWindowLog);
  const size_t bytes = ZSTD_estimateCCtxSize_usingCCtxParams(params);
  ZSTD_freeCCtxParams(params);
  SS_CHECK(!ZSTD_isError(bytes), "the parameters are valid");
  return bytes;
}

}  // namespace

struct ZstdCoder::State {
  // 64-bit words, because the library asks for 8-byte alignment.
  std::vector<uint64_t> encoder_memory{std::vector<uint64_t>(encoder_bytes() / 8 + 1)};
  std::vector<uint64_t> decoder_memory{std::vector<uint64_t>(ZSTD_estimateDCtxSize() / 8 + 1)};
  ZSTD_CCtx* encoder = ZSTD_initStaticCCtx(encoder_memory.data(), encoder_memory.size() * 8);
  ZSTD_DCtx* decoder = ZSTD_initStaticDCtx(decoder_memory.data(), decoder_memory.size() * 8);
};

ZstdCoder::ZstdCoder() : state_(std::make_unique<State>()) {
  SS_CHECK(state_->encoder != nullptr && state_->decoder != nullptr,
           "the library's own estimate is enough memory");
  const auto set = [&](ZSTD_cParameter parameter, int value) {
    SS_CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(state_->encoder, parameter, value)), "it is in bounds");
  };
  set(ZSTD_c_compressionLevel, kLevel);
  set(ZSTD_c_minMatch, kMinMatch);
  set(ZSTD_c_windowLog, kWindowLog);
}

ZstdCoder::~ZstdCoder() = default;  // static contexts live in their workspaces and are not freed

Result<size_t> ZstdCoder::encode(std::span<const std::byte> symbols, std::span<std::byte> coded) {
  const size_t size =
      ZSTD_compress2(state_->encoder, coded.data(), coded.size(), symbols.data(), symbols.size());
  if (!ZSTD_isError(size)) return size;
  SS_CHECK(ZSTD_getErrorCode(size) == ZSTD_error_dstSize_tooSmall, "the workspace suits every frame");
  return fail(Error::kNoCapacity);
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
