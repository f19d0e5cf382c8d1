// General compressors that are no Deflate: zstd and lz4.
#include <zstd.h>

#include "peers/peer_coder.h"
#ifdef BENCH_HAS_LZ4
#include <lz4.h>
#endif

namespace shadowserve::peers {
namespace {

class ZstdPeer final : public PeerCoder {
 public:
  ZstdPeer() = default;
  ZstdPeer(const ZstdPeer&) = delete;
  ZstdPeer& operator=(const ZstdPeer&) = delete;
  ~ZstdPeer() override {
    ZSTD_freeCCtx(writer_);
    ZSTD_freeDCtx(reader_);
  }
  std::string name() const override { return "zstd -1"; }
  std::string note() const override { return "the library's own settings"; }
  size_t encode(const SymbolBlock& block, std::span<uint8_t> coded) override {
    const size_t size =
        ZSTD_compressCCtx(writer_, coded.data(), coded.size(), block.bytes.data(), block.bytes.size(), 1);
    return ZSTD_isError(size) ? 0 : size;
  }
  bool decode(std::span<const uint8_t> coded, const BlockPlace&, std::span<uint8_t> bytes) override {
    return ZSTD_decompressDCtx(reader_, bytes.data(), bytes.size(), coded.data(), coded.size()) ==
           bytes.size();
  }

 private:
  ZSTD_CCtx* writer_ = ZSTD_createCCtx();
  ZSTD_DCtx* reader_ = ZSTD_createDCtx();
};

#ifdef BENCH_HAS_LZ4
class Lz4Peer final : public PeerCoder {
 public:
  std::string name() const override { return "lz4"; }
  std::string note() const override { return "no entropy coder"; }
  size_t encode(const SymbolBlock& block, std::span<uint8_t> coded) override {
    const int size = LZ4_compress_default(
        reinterpret_cast<const char*>(block.bytes.data()), reinterpret_cast<char*>(coded.data()),
        static_cast<int>(block.bytes.size()), static_cast<int>(coded.size()));
    return size > 0 ? static_cast<size_t>(size) : 0;
  }
  bool decode(std::span<const uint8_t> coded, const BlockPlace&, std::span<uint8_t> bytes) override {
    const int size = LZ4_decompress_safe(reinterpret_cast<const char*>(coded.data()),
                                         reinterpret_cast<char*>(bytes.data()),
                                         static_cast<int>(coded.size()), static_cast<int>(bytes.size()));
    return size >= 0 && static_cast<size_t>(size) == bytes.size();
  }
};
#endif

}  // namespace

PeerList match_peers() {
  PeerList peers;
  peers.push_back(std::make_shared<ZstdPeer>());
#ifdef BENCH_HAS_LZ4
  peers.push_back(std::make_shared<Lz4Peer>());
#endif
  return peers;
}

}  // namespace shadowserve::peers
