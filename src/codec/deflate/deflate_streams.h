// Several Deflate streams decoded at once on one core, as long as they hold nothing but literals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "codec/deflate/bit_reader.h"
#include "codec/deflate/block_header.h"
#include "codec/deflate/stream_kernel.h"

namespace shadowserve {

/// One stream, kept in place by its owner until it has ended.
struct DeflateStream {
  enum class State : uint8_t {
    kWaiting,
    kRunning,
    kDecoded,     ///< exactly symbols.size() bytes from exactly coded.size()
    kNotDecoded,  ///< for a general decoder to judge: matches, stored blocks, anything odd, or damage
  };
  std::span<const std::byte> coded;
  std::span<std::byte> symbols;  ///< may be written to even when the stream is not decoded
  State state = State::kWaiting;
};

/// One thread at a time. All memory is part of the object (20 KiB). Input is hostile.
class DeflateStreams {
 public:
  explicit DeflateStreams(StreamTarget target = StreamTarget::kBest) : kernels_(stream_kernels(target)) {}
  uint32_t running() const { return running_; }
  bool full() const { return running_ == kStreamLanes; }
  /// Takes a stream into a free lane. REQUIRES !full().
  void start(DeflateStream& stream);
  /// Moves on by about `symbols` bytes over all lanes, or less when a stream ends. REQUIRES running() > 0.
  void run(size_t symbols);

 private:
  struct Lane {
    DeflateStream* stream;
    BitReader in;
    uint8_t* out_end;
    bool last_block;
    uint32_t blocks_left;
  };

  bool start_block(uint32_t lane);
  void run_fast(size_t passes);
  bool walk_to_room(uint32_t lane);
  bool end_block(uint32_t lane);
  void retire(uint32_t lane);
  size_t passes_of(uint32_t lane) const;

  const StreamKernel* kernels_;
  uint32_t running_ = 0;
  Lane lanes_[kStreamLanes];
  StreamCursor cursors_[kStreamLanes];  ///< `out` always holds; the rest only within run_fast()
  BlockHeader header_;
  StreamTables tables_;
};

}  // namespace shadowserve
