// Deflate as other libraries write and read it: zlib, ISA-L and libdeflate.
#include <isa-l/igzip_lib.h>
#include <zlib.h>

#include "peers/peer_coder.h"
#ifdef BENCH_HAS_LIBDEFLATE
#include <libdeflate.h>
#endif

namespace shadowserve::peers {
namespace {

constexpr int kRawDeflate = -15;  // no zlib header, 32 KiB window
constexpr int kMemLevel = 9;

uint8_t* mutable_bytes(const uint8_t* bytes) {
  return const_cast<uint8_t*>(bytes);
}  // C interfaces without const

/// zlib's state of one thread, taken once like every coder's here.
struct ZlibStreams {
  z_stream writer{}, reader{};
  ZlibStreams() {
    deflateInit2(&writer, Z_BEST_SPEED, Z_DEFLATED, kRawDeflate, kMemLevel, Z_HUFFMAN_ONLY);
    inflateInit2(&reader, kRawDeflate);
  }
  ZlibStreams(const ZlibStreams&) = delete;
  ZlibStreams& operator=(const ZlibStreams&) = delete;
  ~ZlibStreams() {
    deflateEnd(&writer);
    inflateEnd(&reader);
  }
};

ZlibStreams& zlib_streams() {
  thread_local ZlibStreams streams;
  return streams;
}

bool zlib_inflate_block(std::span<const uint8_t> coded, std::span<uint8_t> bytes) {
  z_stream& stream = zlib_streams().reader;
  inflateReset(&stream);
  stream.next_in = mutable_bytes(coded.data());
  stream.avail_in = static_cast<uInt>(coded.size());
  stream.next_out = bytes.data();
  stream.avail_out = static_cast<uInt>(bytes.size());
  return inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_out == 0;
}

class ZlibPeer final : public PeerCoder {
 public:
  std::string name() const override { return "zlib"; }
  std::string note() const override { return "Huffman only"; }
  size_t encode(const SymbolBlock& block, std::span<uint8_t> coded) override {
    return zlib_huffman_block(block.bytes, coded);
  }
  bool decode(std::span<const uint8_t> coded, const BlockPlace&, std::span<uint8_t> bytes) override {
    return zlib_inflate_block(coded, bytes);
  }
};

class IsalInflatePeer final : public PeerCoder {
 public:
  std::string name() const override { return "ISA-L inflate"; }
  std::string note() const override { return "of zlib's Huffman-only streams"; }
  size_t encode(const SymbolBlock& block, std::span<uint8_t> coded) override {
    return zlib_huffman_block(block.bytes, coded);
  }
  bool decode(std::span<const uint8_t> coded, const BlockPlace&, std::span<uint8_t> bytes) override {
    return isal_inflate_block(coded, bytes);
  }
};

class IgzipPeer final : public PeerCoder {
 public:
  std::string name() const override { return "ISA-L igzip -1"; }
  std::string note() const override { return "its own streams"; }
  size_t encode(const SymbolBlock& block, std::span<uint8_t> coded) override {
    isal_zstream stream;
    isal_deflate_stateless_init(&stream);
    stream.level = 1;
    stream.level_buf = level_memory_.data();
    stream.level_buf_size = static_cast<uint32_t>(level_memory_.size());
    stream.gzip_flag = IGZIP_DEFLATE;
    stream.end_of_stream = 1;
    stream.next_in = mutable_bytes(block.bytes.data());
    stream.avail_in = static_cast<uint32_t>(block.bytes.size());
    stream.next_out = coded.data();
    stream.avail_out = static_cast<uint32_t>(coded.size());
    return isal_deflate_stateless(&stream) == COMP_OK ? stream.total_out : 0;
  }
  bool decode(std::span<const uint8_t> coded, const BlockPlace&, std::span<uint8_t> bytes) override {
    return isal_inflate_block(coded, bytes);
  }

 private:
  std::vector<uint8_t> level_memory_{std::vector<uint8_t>(ISAL_DEF_LVL1_DEFAULT)};
};

#ifdef BENCH_HAS_LIBDEFLATE
class LibdeflatePeer final : public PeerCoder {
 public:
  explicit LibdeflatePeer(bool own_streams) : own_streams_(own_streams) {}
  LibdeflatePeer(const LibdeflatePeer&) = delete;
  LibdeflatePeer& operator=(const LibdeflatePeer&) = delete;
  ~LibdeflatePeer() override {
    libdeflate_free_compressor(writer_);
    libdeflate_free_decompressor(reader_);
  }
  std::string name() const override { return own_streams_ ? "libdeflate -1" : "libdeflate inflate"; }
  std::string note() const override {
    return own_streams_ ? "its own streams" : "of zlib's Huffman-only streams";
  }
  size_t encode(const SymbolBlock& block, std::span<uint8_t> coded) override {
    if (!own_streams_) return zlib_huffman_block(block.bytes, coded);
    return libdeflate_deflate_compress(writer_, block.bytes.data(), block.bytes.size(), coded.data(),
                                       coded.size());
  }
  bool decode(std::span<const uint8_t> coded, const BlockPlace&, std::span<uint8_t> bytes) override {
    size_t made = 0;
    const auto result =
        libdeflate_deflate_decompress(reader_, coded.data(), coded.size(), bytes.data(), bytes.size(), &made);
    return result == LIBDEFLATE_SUCCESS && made == bytes.size();
  }

 private:
  bool own_streams_;
  libdeflate_compressor* writer_ = libdeflate_alloc_compressor(1);
  libdeflate_decompressor* reader_ = libdeflate_alloc_decompressor();
};
#endif

}  // namespace

size_t zlib_huffman_block(std::span<const uint8_t> bytes, std::span<uint8_t> coded) {
  z_stream& stream = zlib_streams().writer;
  deflateReset(&stream);
  stream.next_in = mutable_bytes(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = coded.data();
  stream.avail_out = static_cast<uInt>(coded.size());
  return deflate(&stream, Z_FINISH) == Z_STREAM_END ? coded.size() - stream.avail_out : 0;
}

bool isal_inflate_block(std::span<const uint8_t> coded, std::span<uint8_t> bytes) {
  thread_local inflate_state state;
  isal_inflate_init(&state);
  state.crc_flag = ISAL_DEFLATE;
  state.next_in = mutable_bytes(coded.data());
  state.avail_in = static_cast<uint32_t>(coded.size());
  state.next_out = bytes.data();
  state.avail_out = static_cast<uint32_t>(bytes.size());
  return isal_inflate_stateless(&state) == ISAL_DECOMP_OK && state.avail_out == 0;
}

PeerList deflate_peers() {
  PeerList peers;
  peers.push_back(std::make_shared<ZlibPeer>());
  peers.push_back(std::make_shared<IsalInflatePeer>());
  peers.push_back(std::make_shared<IgzipPeer>());
#ifdef BENCH_HAS_LIBDEFLATE
  peers.push_back(std::make_shared<LibdeflatePeer>(false));
  peers.push_back(std::make_shared<LibdeflatePeer>(true));
#endif
  return peers;
}

}  // namespace shadowserve::peers
