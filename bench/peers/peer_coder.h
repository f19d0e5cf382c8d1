// A lossless coder that the codec bench measures: somebody else's library, or ours seen through the same
// interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace shadowserve::peers {

/// Where a block of symbols lies in the KV cache, for coders that know channels and layers.
struct BlockPlace {
  uint32_t plane = 0;  ///< layer * 2 + (0 for K, 1 for V)
  uint32_t tokens = 0, channels = 0;
  uint32_t levels = 0;  ///< symbols are below this
};

/// How symbols become the bytes that a coder sees.
enum class Packing : uint8_t { kBytes, kNibbles };

/// A block of symbols as bytes, [token][channel].
struct SymbolBlock {
  BlockPlace place;
  std::span<const uint8_t> bytes;
};

/// A coded block, and where its bytes go.
struct DecodeTask {
  std::span<const uint8_t> coded;
  BlockPlace place;
  std::span<uint8_t> bytes;
};

/// One thread. Input is trusted: this is for measuring, not for a data plane.
class PeerCoder {
 public:
  virtual ~PeerCoder() = default;
  virtual std::string name() const = 0;
  /// What is special about the streams or what their size leaves out; may be empty.
  virtual std::string note() const { return {}; }
  /// Sees all blocks once before the first is coded; only coders with a model of the data care.
  virtual void learn(std::span<const SymbolBlock> blocks) {}
  /// Returns the coded size, 0 on failure. `coded` holds coded_bytes_max(block) bytes.
  virtual size_t encode(const SymbolBlock& block, std::span<uint8_t> coded) = 0;
  /// False on failure.
  virtual bool decode(std::span<const uint8_t> coded, const BlockPlace& place, std::span<uint8_t> bytes) = 0;
  /// All blocks of a part, for coders that are faster with several at once.
  virtual bool decode_all(std::span<const DecodeTask> tasks) {
    for (const DecodeTask& task : tasks) {
      if (!decode(task.coded, task.place, task.bytes)) return false;
    }
    return true;
  }
};

using PeerList = std::vector<std::shared_ptr<PeerCoder>>;

/// Room for every peer's worst case.
inline size_t coded_bytes_max(const SymbolBlock& block) {
  return 2 * block.bytes.size() + size_t{16} * block.place.channels + (64u << 10);
}

/// All general coders that were built in; the same object may see blocks of either packing.
PeerList general_peers();
/// Coders of single symbols that know channels; blocks must be Packing::kBytes.
PeerList channel_peers();
/// Names of the libraries that were missing when this was built, with the package that brings them.
std::vector<std::string> missing_peers();

PeerList deflate_peers();
PeerList match_peers();

/// ISA-L's inflate of one raw Deflate stream that gives exactly bytes.size() bytes.
bool isal_inflate_block(std::span<const uint8_t> coded, std::span<uint8_t> bytes);
/// zlib's Deflate without matches, the streams that ISA-L reads fastest here. 0 on failure.
size_t zlib_huffman_block(std::span<const uint8_t> bytes, std::span<uint8_t> coded);

}  // namespace shadowserve::peers
