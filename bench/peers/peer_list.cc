// Which peers were built in, among them htscodecs' interleaved rANS.
#include "peers/cachegen_coder.h"
#include "peers/peer_coder.h"
#ifdef BENCH_HAS_HTSCODECS
#include <htscodecs/rANS_static4x16.h>
#endif

namespace shadowserve::peers {
namespace {

#ifdef BENCH_HAS_HTSCODECS
class HtscodecsPeer final : public PeerCoder {
 public:
  std::string name() const override { return "htscodecs rANS 32x16"; }
  std::string note() const override { return "order 0, 32 states, its own choice of SIMD"; }
  size_t encode(const SymbolBlock& block, std::span<uint8_t> coded) override {
    auto size = static_cast<unsigned>(coded.size());
    auto* const from = const_cast<uint8_t*>(block.bytes.data());  // a C interface without const
    const auto count = static_cast<unsigned>(block.bytes.size());
    return rans_compress_to_4x16(from, count, coded.data(), &size, RANS_ORDER_X32) != nullptr ? size : 0;
  }
  bool decode(std::span<const uint8_t> coded, const BlockPlace&, std::span<uint8_t> bytes) override {
    auto size = static_cast<unsigned>(bytes.size());
    auto* const from = const_cast<uint8_t*>(coded.data());
    const auto count = static_cast<unsigned>(coded.size());
    return rans_uncompress_to_4x16(from, count, bytes.data(), &size) != nullptr && size == bytes.size();
  }
};
#endif

}  // namespace

PeerList general_peers() {
  PeerList peers = deflate_peers();
  for (auto& peer : match_peers()) peers.push_back(std::move(peer));
#ifdef BENCH_HAS_HTSCODECS
  peers.push_back(std::make_shared<HtscodecsPeer>());
#endif
  return peers;
}

PeerList channel_peers() {
  PeerList peers;
  peers.push_back(std::make_shared<CacheGenCoder>());
  return peers;
}

std::vector<std::string> missing_peers() {
  std::vector<std::string> missing;
#ifndef BENCH_HAS_LZ4
  missing.emplace_back("lz4 (liblz4-dev)");
#endif
#ifndef BENCH_HAS_LIBDEFLATE
  missing.emplace_back("libdeflate (libdeflate-dev)");
#endif
#ifndef BENCH_HAS_HTSCODECS
  missing.emplace_back("htscodecs (libhtscodecs-dev)");
#endif
  return missing;
}

}  // namespace shadowserve::peers
